output "port" {
  value = provider::lbctl::parse_address("10.0.0.11:8080").port
}
