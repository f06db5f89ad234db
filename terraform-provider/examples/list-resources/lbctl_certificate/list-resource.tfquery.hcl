list "lbctl_certificate" "example" {
  provider = lbctl
}
