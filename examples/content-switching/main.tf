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

locals {
  probe = { interval = "2s", timeout = "1s", probe = { http = {} } }
}

resource "lbctl_virtual_service" "web" {
  name    = "web"
  address = "127.0.0.1:8080"
  pool    = lbctl_pool.site.name

  rules = [
    {
      name = "security-headers"
      response_headers = {
        remove = ["Server", "X-Powered-By"]
        set    = { "X-Content-Type-Options" = "nosniff" }
      }
    },
    {
      name   = "old-name"
      match  = { host = ["old.example", "*.old.example"] }
      action = { redirect = { location = "http://site.example{path}{query}", status = 301 } }
    },
    {
      name   = "admin-inside"
      match  = { path = { prefix = "/admin" }, source = ["127.0.0.0/8", "10.0.0.0/8"] }
      action = { pool = lbctl_pool.admin.name }
    },
    {
      name   = "admin-outside"
      match  = { path = { prefix = "/admin" } }
      action = { respond = { status = 403, body = "Only from inside.\n" } }
    },
    {
      name   = "api-next"
      match  = { path = { prefix = "/api/" }, header = { "X-Version" = { exact = "next" } } }
      action = { pool = lbctl_pool.api_next.name }
    },
    {
      name            = "api"
      match           = { path = { prefix = "/api/" } }
      action          = { pool = lbctl_pool.api.name }
      request_headers = { set = { "X-Api" = "1" } }
    },
    {
      name = "files"
      match = {
        method = ["GET", "HEAD"]
        path   = { regex = "\\.(css|gif|ico|jpe?g|js|png|svg|woff2)$" }
      }
      action = { pool = lbctl_pool.files.name }
    },
  ]
}

resource "lbctl_pool" "site" {
  name         = "site"
  persistence  = { cookie = {} }
  health_check = local.probe
  servers = {
    site1 = { address = "127.0.0.1:9001" }
    site2 = { address = "127.0.0.1:9002" }
  }
}

resource "lbctl_pool" "api" {
  name         = "api"
  balance      = "least_connections"
  health_check = local.probe
  servers = {
    api1 = { address = "127.0.0.1:9003" }
    api2 = { address = "127.0.0.1:9004" }
  }
}

resource "lbctl_pool" "api_next" {
  name    = "api-next"
  servers = { next1 = { address = "127.0.0.1:9005" } }
}

resource "lbctl_pool" "files" {
  name         = "files"
  balance      = "source_hash"
  health_check = local.probe
  servers = {
    files1 = { address = "127.0.0.1:9006", weight = 200 }
    files2 = { address = "127.0.0.1:9007", weight = 100 }
  }
}

resource "lbctl_pool" "admin" {
  name    = "admin"
  servers = { admin1 = { address = "127.0.0.1:9008" } }
}

resource "lbctl_telemetry" "all" {
  metrics_address = "127.0.0.1:9090"
  access_log      = { output = { stdout = true }, format = "json" }
}

# A mistake in the order of the rules shows when this is planned, before any request goes astray.
check "api_reaches_its_pool" {
  assert {
    condition = "api" == provider::lbctl::match_rule(
      lbctl_virtual_service.web.rules, "GET", "http://site.example/api/orders", {}, "192.0.2.1"
    )
    error_message = "Requests for /api/ do not go to the pool of the API."
  }
}
