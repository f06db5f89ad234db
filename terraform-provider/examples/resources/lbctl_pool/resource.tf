resource "lbctl_pool" "example" {
  name        = "web"
  balance     = "least_connections"
  persistence = { cookie = { name = "LB", fallback = {} } }

  # IIS with Windows authentication answers an anonymous probe with 401 when it is well.
  health_check = {
    interval = "5s"
    probe    = { http = { path = "/health", expect = ["200-299", 401] } }
  }

  servers = {
    iis1 = { address = "10.0.0.11:80" }
    iis2 = { address = "10.0.0.12:80", connections_max = 500 }
  }
}

# Without `servers` they are resources of their own.
resource "lbctl_pool" "attached" {
  name = "api"
}
