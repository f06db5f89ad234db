action "lbctl_drain" "example" {
  config {
    pool   = "web"
    server = "iis1"
    wait   = "60s"
  }
}
