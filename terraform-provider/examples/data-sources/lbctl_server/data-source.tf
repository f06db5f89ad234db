data "lbctl_server" "example" {
  pool = "web"
  name = "iis1"
}

output "requests_in_progress" {
  value = data.lbctl_server.example.status.in_progress
}
