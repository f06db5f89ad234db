resource "lbctl_pool" "web" {
  name         = "web"
  health_check = {}
  servers      = { iis1 = { address = "10.0.0.11:80" } }
}

resource "lbctl_pool" "api" {
  name         = "api"
  health_check = {}
  servers      = { api1 = { address = "10.0.1.11:8080" } }
}

resource "lbctl_virtual_service" "example" {
  name    = "shop"
  address = "127.0.0.1:8080"
  pool    = lbctl_pool.web.name

  rules = [
    {
      name   = "old"
      match  = { host = ["old.example.com"] }
      action = { redirect = { location = "https://shop.example.com{path}{query}", status = 301 } }
    },
    {
      name   = "api"
      match  = { path = { prefix = "/api/" } }
      action = { pool = lbctl_pool.api.name }
    },
  ]

  unavailable = {
    respond = { status = 503, body = "We are back in a moment.\n" }
  }
}
