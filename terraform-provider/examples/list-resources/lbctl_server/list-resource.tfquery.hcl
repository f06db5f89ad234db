list "lbctl_server" "example" {
  provider = lbctl

  config {
    pool = "web"
  }
}
