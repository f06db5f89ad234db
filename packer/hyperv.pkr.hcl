# The appliance as a machine of Hyper-V, generation 2, to be called on Windows with Hyper-V. The CD installs by itself, as its
# seed says, and switches the machine off; nobody logs in to it, and nothing is left of the build.

variable "hyperv_switch" {
  type        = string
  default     = "Default Switch"
  description = "The virtual switch."
}

source "hyperv-iso" "appliance" {
  vm_name            = "lbctl-${var.version}"
  output_directory   = "${var.output}/hyperv"
  generation         = 2
  enable_secure_boot = false
  cpus               = 2
  memory             = 1024
  disk_size          = 2048
  switch_name        = var.hyperv_switch

  iso_url      = "${var.install_images}/lbctl.iso"
  iso_checksum = "file:${var.install_images}/SHA256SUMS"

  communicator     = "none"
  shutdown_timeout = "10m"
}

build {
  sources = ["source.hyperv-iso.appliance"]

  # Packer would switch the machine off in the middle of the installation.
  provisioner "shell-local" {
    command = "powershell -NoProfile -Command \"while ((Get-VM -Name 'lbctl-${var.version}').State -ne 'Off') { Start-Sleep -Seconds 2 }\""
  }
}
