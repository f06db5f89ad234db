resource "lbctl_acme_account" "example" {
  name                    = "lets-encrypt"
  terms_of_service_agreed = true
  contacts                = ["admin@example.com"]
}
