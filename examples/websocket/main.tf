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

resource "lbctl_virtual_service" "chat" {
  name     = "chat"
  address  = "127.0.0.1:8080"
  pool     = lbctl_pool.chat.name
  timeouts = { idle = "60s", tunnel = "2m" }
}

resource "lbctl_pool" "chat" {
  name         = "chat"
  balance      = "least_connections"
  persistence  = { cookie = { name = "LB" } }
  health_check = { interval = "2s", timeout = "1s", probe = { http = { path = "/health" } } }
  servers = {
    chat1 = { address = "127.0.0.1:9001" }
    chat2 = { address = "127.0.0.1:9002" }
  }
}

resource "lbctl_telemetry" "all" {
  metrics_address = "127.0.0.1:9090"
  access_log      = { output = { stdout = true }, format = "json" }
}
