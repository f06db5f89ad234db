resource "lbctl_authority" "example" {
  name        = "inside"
  description = "Our own authority, which vouches for the servers of the farm."
  source      = { pem = file("ca.pem") }
}

resource "lbctl_pool" "inside" {
  name         = "inside"
  health_check = {}
  tls          = { authority = lbctl_authority.example.name, server_name = "iis.example.com" }
  servers      = { iis1 = { address = "10.0.0.11:443" } }
}
