# A machine with Linux, over SSH. What it serves is a resource of its own below.
resource "lbctl_balancer" "example" {
  name          = "lb1"
  fleet         = "production"
  target        = { ssh = { host = "10.0.0.5", user = "admin" } }
  program       = "dist/lbctl"
  admin_address = "10.0.0.5:9443"
}

resource "lbctl_pool" "web" {
  balancer = lbctl_balancer.example.access
  name     = "web"
  servers = {
    iis1 = { address = "10.0.0.11:80" }
    iis2 = { address = "10.0.0.12:80" }
  }
}

# A virtual machine that serves a document as it is.
resource "lbctl_balancer" "lab" {
  name     = "lab"
  fleet    = "staging"
  document = "lb.toml"

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
