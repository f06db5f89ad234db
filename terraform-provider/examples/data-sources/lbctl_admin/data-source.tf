data "lbctl_admin" "example" {}
