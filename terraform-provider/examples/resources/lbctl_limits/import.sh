terraform import lbctl_limits.example limits
