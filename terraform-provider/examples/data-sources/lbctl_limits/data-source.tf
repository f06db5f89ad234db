data "lbctl_limits" "example" {}
