terraform import lbctl_pool.example web
