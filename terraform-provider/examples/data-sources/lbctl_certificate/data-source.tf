data "lbctl_certificate" "example" {
  name = "shop"
}
