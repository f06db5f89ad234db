terraform import lbctl_acme_account.example lets-encrypt
