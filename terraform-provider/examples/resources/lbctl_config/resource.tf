# All of a balancer in one resource: what is not here is taken away.
resource "lbctl_config" "example" {
  pools = {
    web = {
      health_check = {}
      servers = {
        iis1 = { address = "10.0.0.11:80" }
        iis2 = { address = "10.0.0.12:80" }
      }
    }
  }

  virtual_services = {
    shop = {
      address = "127.0.0.1:8080"
      pool    = "web"
    }
  }
}
