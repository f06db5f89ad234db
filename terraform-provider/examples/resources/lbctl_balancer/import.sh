terraform import lbctl_balancer.example production/lb1
