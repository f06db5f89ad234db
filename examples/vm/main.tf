terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

# The balancer that `lbctl provision apply` has made. What reaches it is in
# fleet.state/balancers/lab/settings.toml: LBCTL_BALANCER, LBCTL_FINGERPRINT and LBCTL_TOKEN_FILE.
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
    iis1 = { address = "10.0.2.2:8001" }
    iis2 = { address = "10.0.2.2:8002" }
  }
}
