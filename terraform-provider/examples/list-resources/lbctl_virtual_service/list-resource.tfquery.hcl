list "lbctl_virtual_service" "example" {
  provider = lbctl
}
