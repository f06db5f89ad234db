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

resource "lbctl_virtual_service" "shop" {
  name        = "shop"
  description = "The shop, for everybody"
  address     = "127.0.0.1:8080"
  pool        = lbctl_pool.shop.name
  unavailable = { respond = { status = 503, content_type = "text/html", body = "<h1>Back soon</h1>\n" } }

  rules = [{
    name             = "hide-versions"
    response_headers = { remove = ["Server", "X-Powered-By", "X-AspNet-Version", "X-AspNetMvc-Version"] }
  }]
}

resource "lbctl_pool" "shop" {
  name          = "shop"
  balance       = "least_connections"
  persistence   = { cookie = { name = "LB", fallback = { timeout = "20m" } } }
  slow_start    = "30s"
  drain_timeout = "2h"

  health_check = {
    interval = "2s"
    timeout  = "1s"
    probe    = { http = { path = "/health", host = "shop.example", expect = [200], body = "OK" } }
  }

  # A server of the farm is one line of this map: `state = "draining"` before its maintenance.
  servers = {
    iis1 = { address = "127.0.0.1:9001", connections_max = 500 }
    iis2 = { address = "127.0.0.1:9002", connections_max = 500 }
    iis3 = { address = "127.0.0.1:9003", connections_max = 500 }
  }
}

resource "lbctl_virtual_service" "intranet" {
  name        = "intranet"
  description = "The intranet, with Windows authentication"
  address     = "127.0.0.1:8081"
  pool        = lbctl_pool.intranet.name
}

resource "lbctl_pool" "intranet" {
  name         = "intranet"
  balance      = "least_connections"
  persistence  = { passive_cookie = { name = "ASP.NET_SessionId", timeout = "20m" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/", expect = ["200-299", 401] } } }
  servers = {
    iis4 = { address = "127.0.0.1:9004" }
    iis5 = { address = "127.0.0.1:9005" }
  }
}

resource "lbctl_telemetry" "all" {
  metrics_address = "127.0.0.1:9090"
  access_log      = { output = { stdout = true }, format = "json" }
}
