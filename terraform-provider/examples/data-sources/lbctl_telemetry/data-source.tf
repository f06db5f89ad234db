data "lbctl_telemetry" "example" {}
