terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

provider "lbctl" {}

# A machine of EC2, made from the image of the appliance in that region.
resource "lbctl_balancer" "lb1" {
  name  = "lb1"
  fleet = "shop"

  target = {
    aws = {
      region = "eu-central-1"
      image  = "ami-0123456789abcdef0"

      # From where you administer it. The whole world is refused.
      admin_networks  = ["203.0.113.7/32"]
      services        = [{ port = 80 }]
      elastic_address = true
      tags            = { team = "web" }
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
