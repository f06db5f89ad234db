# The appliance as a template of VMware vSphere. The CD installs by itself, as its seed says, and switches the machine off;
# nobody logs in to it, and nothing is left of the build.

variable "vsphere_server" {
  type        = string
  default     = "vcenter.example"
  description = "The vCenter."
}

variable "vsphere_user" {
  type    = string
  default = ""
}

variable "vsphere_password" {
  type      = string
  default   = ""
  sensitive = true
}

variable "vsphere_insecure" {
  type        = bool
  default     = false
  description = "Do not check the certificate of the vCenter."
}

variable "vsphere_datacenter" {
  type    = string
  default = ""
}

variable "vsphere_cluster" {
  type    = string
  default = "cluster"
}

variable "vsphere_datastore" {
  type    = string
  default = "datastore1"
}

variable "vsphere_network" {
  type    = string
  default = "VM Network"
}

source "vsphere-iso" "appliance" {
  vcenter_server      = var.vsphere_server
  username            = var.vsphere_user
  password            = var.vsphere_password
  insecure_connection = var.vsphere_insecure
  datacenter          = var.vsphere_datacenter
  cluster             = var.vsphere_cluster
  datastore           = var.vsphere_datastore

  vm_name       = "lbctl-${var.version}"
  notes         = "lbctl ${var.version}: load balancer"
  guest_os_type = "other5xLinux64Guest"
  vm_version    = 15
  firmware      = "efi"
  CPUs          = 2
  RAM           = 1024

  disk_controller_type = ["pvscsi"]
  storage {
    disk_size             = 2048
    disk_thin_provisioned = true
  }
  network_adapters {
    network      = var.vsphere_network
    network_card = "vmxnet3"
  }

  iso_url      = "${var.install_images}/lbctl.iso"
  iso_checksum = "file:${var.install_images}/SHA256SUMS"
  cdrom_type   = "sata"
  remove_cdrom = true

  communicator        = "none"
  disable_shutdown    = true
  shutdown_timeout    = "10m"
  convert_to_template = true
}

build {
  sources = ["source.vsphere-iso.appliance"]
}
