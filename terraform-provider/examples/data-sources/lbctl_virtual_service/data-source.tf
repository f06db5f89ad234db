data "lbctl_virtual_service" "example" {
  name = "shop"
}
