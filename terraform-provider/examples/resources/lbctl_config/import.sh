terraform import lbctl_config.example config
