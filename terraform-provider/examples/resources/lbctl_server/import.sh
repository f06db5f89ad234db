terraform import lbctl_server.example api/one
