action "lbctl_enable" "example" {
  config {
    pool   = "web"
    server = "iis1"
  }
}
