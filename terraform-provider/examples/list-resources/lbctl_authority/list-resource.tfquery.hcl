list "lbctl_authority" "example" {
  provider = lbctl
}
