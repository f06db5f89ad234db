terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

provider "lbctl" {}

# A machine that QEMU runs here, from the image of the appliance.
resource "lbctl_balancer" "lab" {
  name  = "lab"
  fleet = "lab"

  target = {
    vm = {
      image = "lbctl.qcow2"
      forwards = [
        { address = "127.0.0.1:8080", port = 8080 },
        { address = "127.0.0.1:9443", port = 9443 },
      ]
    }
  }
}

resource "lbctl_virtual_service" "shop" {
  balancer = lbctl_balancer.lab.access
  name     = "shop"
  address  = "0.0.0.0:8080"
  pool     = lbctl_pool.web.name
}

resource "lbctl_pool" "web" {
  balancer     = lbctl_balancer.lab.access
  name         = "web"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/" } } }
  servers = {
    iis1 = { address = "10.0.2.2:8001" }
    iis2 = { address = "10.0.2.2:8002" }
  }
}
