list "lbctl_acme_account" "example" {
  provider = lbctl
}
