output "ends" {
  value = provider::lbctl::pem_info(file("shop.pem"))[0].not_after
}
