terraform import lbctl_authority.example inside
