data "lbctl_pool" "example" {
  name = "web"
}
