# The admin API for other machines. To destroy this closes it: the balancer is then reached on its own
# machine alone.
resource "lbctl_admin" "example" {
  address = "127.0.0.1:9443"
}
