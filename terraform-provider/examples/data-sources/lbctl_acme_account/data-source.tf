data "lbctl_acme_account" "example" {
  name = "lets-encrypt"
}
