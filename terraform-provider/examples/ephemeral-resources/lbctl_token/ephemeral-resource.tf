# A token for this run alone, made on the balancer's own machine, for its API over the network.
ephemeral "lbctl_token" "example" {
  name     = "terraform-run"
  role     = "configure"
  lifetime = "30m"
}
