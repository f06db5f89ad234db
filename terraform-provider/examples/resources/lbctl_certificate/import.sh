terraform import lbctl_certificate.example shop
