terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

# A balancer that `lbctl provision apply` has put on a machine. What reaches it is in
# fleet.state/balancers/lb1/settings.toml: LBCTL_BALANCER, LBCTL_FINGERPRINT and LBCTL_TOKEN_FILE.
provider "lbctl" {}

resource "lbctl_virtual_service" "shop" {
  name    = "shop"
  address = "0.0.0.0:8080"
  pool    = lbctl_pool.web.name
}

resource "lbctl_pool" "web" {
  name         = "web"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/" } } }
  servers = {
    iis1 = { address = "10.0.0.11:80" }
    iis2 = { address = "10.0.0.12:80" }
  }
}
