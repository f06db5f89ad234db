resource "lbctl_telemetry" "example" {
  metrics_address = "127.0.0.1:9090"
}
