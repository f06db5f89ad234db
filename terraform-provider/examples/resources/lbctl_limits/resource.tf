resource "lbctl_limits" "example" {
  connections_max = 400
}
