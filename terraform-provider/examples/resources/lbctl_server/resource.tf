resource "lbctl_pool" "api" {
  name         = "api"
  health_check = {}
}

resource "lbctl_server" "example" {
  for_each = {
    one = "10.0.1.11:8080"
    two = "10.0.1.12:8080"
  }

  pool    = lbctl_pool.api.name
  name    = each.key
  address = each.value
}
