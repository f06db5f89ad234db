action "lbctl_disable" "example" {
  config {
    pool   = "web"
    server = "iis1"
    wait   = "60s"
  }
}
