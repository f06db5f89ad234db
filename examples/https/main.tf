terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

# The balancer of this machine. Another one: `endpoint = "https://HOST:PORT"`, with a token and a
# fingerprint, or LBCTL_BALANCER, LBCTL_TOKEN_FILE and LBCTL_FINGERPRINT in the environment.
provider "lbctl" {}

resource "lbctl_certificate" "shop" {
  name   = "shop"
  source = { self_signed = { names = ["localhost", "shop.test"] } }

  # The real one, whose key is in no state:
  #   certificate_pem        = file("shop.pem")
  #   private_key_wo         = file("shop-key.pem")
  #   private_key_wo_version = 1
}

resource "lbctl_pool" "web" {
  name         = "web"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/" } } }
  servers = {
    iis1 = { address = "127.0.0.1:9001" }
    iis2 = { address = "127.0.0.1:9002" }
  }
}

resource "lbctl_virtual_service" "shop" {
  name    = "shop"
  address = "127.0.0.1:8443"
  pool    = lbctl_pool.web.name
  tls = {
    certificates = [lbctl_certificate.shop.name]
    hsts         = { max_age_days = 1 }
  }
}

resource "lbctl_virtual_service" "plain" {
  name              = "plain"
  address           = "127.0.0.1:8080"
  redirect_to_https = true
}
