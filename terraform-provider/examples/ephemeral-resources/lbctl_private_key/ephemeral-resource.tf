ephemeral "lbctl_private_key" "example" {
  names = ["shop.example.com"]
}
