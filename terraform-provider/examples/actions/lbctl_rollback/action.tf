action "lbctl_rollback" "example" {
  config {
    revision = 1
  }
}
