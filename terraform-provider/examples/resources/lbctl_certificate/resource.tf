# The private key reaches the balancer and is in no plan and no state. Another number has it given once
# more; a certificate that changes is given in any case.
resource "lbctl_certificate" "example" {
  name                   = "shop"
  certificate_pem        = file("shop.pem")
  private_key_wo         = file("shop-key.pem")
  private_key_wo_version = 1
}

# One that the balancer makes, for a first try.
resource "lbctl_certificate" "first" {
  name   = "first"
  source = { self_signed = { names = ["shop.example.com"] } }
}

resource "lbctl_virtual_service" "https" {
  name    = "https"
  address = "127.0.0.1:8443"
  tls     = { certificates = [lbctl_certificate.example.name] }
  rules   = [{ name = "all", action = { respond = { status = 200, body = "It works.\n" } } }]
}
