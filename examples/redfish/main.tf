terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

provider "lbctl" {}

# Hardware without a system. Its controller gets the installer of the appliance as a CD.
resource "lbctl_balancer" "lb1" {
  name  = "lb1"
  fleet = "racks"

  target = {
    redfish = {
      controller    = "https://10.0.9.5"
      user          = "lbctl"
      password_file = "bmc-password"
      image         = "lbctl.iso"
      media_address = "10.0.9.2:0"
      address       = "10.0.0.5"
      network       = { eth0 = { addresses = ["10.0.0.5/24"], gateways = ["10.0.0.1"] } }
    }
  }
}

resource "lbctl_virtual_service" "shop" {
  balancer = lbctl_balancer.lb1.access
  name     = "shop"
  address  = "0.0.0.0:80"
  pool     = lbctl_pool.web.name
}

resource "lbctl_pool" "web" {
  balancer     = lbctl_balancer.lb1.access
  name         = "web"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/" } } }
  servers = {
    iis1 = { address = "10.0.0.11:80" }
    iis2 = { address = "10.0.0.12:80" }
  }
}
