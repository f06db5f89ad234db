data "lbctl_config" "example" {}
