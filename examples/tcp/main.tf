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

resource "lbctl_virtual_service" "smtp" {
  name        = "smtp"
  description = "Outgoing mail of the applications"
  address     = "127.0.0.1:2525"
  protocol    = "tcp"
  pool        = lbctl_pool.mail.name
  timeouts    = { idle = "5m" }
}

resource "lbctl_pool" "mail" {
  name         = "mail"
  balance      = "fixed_weighting"
  health_check = { interval = "2s", timeout = "1s", probe = { tcp = { expect = "^220 " } } }
  ejection     = { connect_failures = 1, duration = "10s" }
  servers = {
    mail1 = { address = "127.0.0.1:9025", weight = 100 }
    mail2 = { address = "127.0.0.1:9026", weight = 10 }
  }
}

resource "lbctl_virtual_service" "https" {
  name        = "https"
  description = "HTTPS that goes through to the servers"
  address     = "127.0.0.1:8443"
  protocol    = "tcp"
  pool        = lbctl_pool.secure.name
  timeouts    = { idle = "5m" }
}

resource "lbctl_pool" "secure" {
  name         = "secure"
  balance      = "least_connections"
  persistence  = { source = { timeout = "20m", ipv6_prefix = 64 } }
  health_check = { interval = "2s", timeout = "1s", probe = { tcp = {} } }
  servers = {
    iis1 = { address = "127.0.0.1:9443" }
    iis2 = { address = "127.0.0.1:9444" }
  }
}

resource "lbctl_telemetry" "all" {
  metrics_address = "127.0.0.1:9090"
  access_log      = { output = { stdout = true }, format = "json" }
}
