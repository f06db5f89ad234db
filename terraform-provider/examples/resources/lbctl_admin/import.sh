terraform import lbctl_admin.example admin
