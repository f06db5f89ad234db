list "lbctl_pool" "example" {
  provider = lbctl
}
