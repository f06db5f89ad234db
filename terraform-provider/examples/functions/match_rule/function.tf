locals {
  rules = [
    {
      name   = "api"
      match  = { path = { prefix = "/api/" } }
      action = { pool = "api" }
    },
  ]
}

output "decides" {
  value = provider::lbctl::match_rule(local.rules, "GET", "http://shop.example.com/api/", {}, "192.0.2.1")
}
