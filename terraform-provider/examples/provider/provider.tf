terraform {
  required_providers {
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

# The balancer of this machine.
provider "lbctl" {}

# A balancer somewhere else, with the token that `lbctl token create` printed, and the fingerprint that
# `lbctl status` shows there. Both can come from the environment: LBCTL_TOKEN, LBCTL_FINGERPRINT.
provider "lbctl" {
  alias       = "remote"
  endpoint    = "https://lb1.example.com:9443"
  token_file  = "/etc/lbctl/terraform.token"
  fingerprint = "sha256:3b1f9b1c1a0b0e6c7a4c6a5b8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f80912"
}
