data "lbctl_authority" "example" {
  name = "inside"
}
