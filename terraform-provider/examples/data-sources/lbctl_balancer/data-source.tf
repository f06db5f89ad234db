data "lbctl_balancer" "example" {
  name   = "lb1"
  fleet  = "production"
  target = { ssh = { host = "10.0.0.5", user = "admin" } }
}

output "release" {
  value = data.lbctl_balancer.example.release
}
