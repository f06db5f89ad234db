terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

provider "lbctl" {}

# Two machines with Linux. They stand in for each other, so one is never changed before the other is well.
resource "lbctl_balancer" "edge" {
  for_each = {
    lb1 = "10.0.0.5"
    lb2 = "10.0.0.6"
  }

  name          = each.key
  fleet         = "shop"
  cluster       = "edge"
  target        = { ssh = { host = each.value, user = "admin" } }
  admin_address = "${each.value}:9443"
}

resource "lbctl_virtual_service" "shop" {
  for_each = lbctl_balancer.edge

  balancer = each.value.access
  name     = "shop"
  address  = "0.0.0.0:8080"
  pool     = lbctl_pool.web[each.key].name
}

resource "lbctl_pool" "web" {
  for_each = lbctl_balancer.edge

  balancer     = each.value.access
  name         = "web"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/" } } }
  servers = {
    iis1 = { address = "10.0.0.11:80" }
    iis2 = { address = "10.0.0.12:80" }
  }
}
