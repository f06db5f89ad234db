# Images for clouds that have no way to take the appliance in one step: their own Debian, with the service that
# `lbctl provision` installs over SSH, too.

variable "lbctl" {
  type        = string
  default     = "target/release/lbctl"
  description = "The program, for x86-64."
}

variable "azure_subscription_id" {
  type    = string
  default = "00000000-0000-0000-0000-000000000000"
}

variable "azure_client_id" {
  type    = string
  default = ""
}

variable "azure_client_secret" {
  type      = string
  default   = ""
  sensitive = true
}

variable "azure_tenant_id" {
  type    = string
  default = ""
}

variable "azure_location" {
  type    = string
  default = "West Europe"
}

variable "azure_resource_group" {
  type        = string
  default     = "lbctl-images"
  description = "Where the image goes; it must be there."
}

variable "google_project" {
  type    = string
  default = "lbctl-images"
}

variable "google_account_file" {
  type        = string
  default     = ""
  description = "The key of a service account; when empty, the credentials of the environment."
}

variable "google_zone" {
  type    = string
  default = "europe-west3-a"
}

locals {
  image = "lbctl-${replace(var.version, ".", "-")}-${formatdate("YYYYMMDDhhmm", timestamp())}"
}

source "azure-arm" "debian" {
  subscription_id = var.azure_subscription_id
  client_id       = var.azure_client_id
  client_secret   = var.azure_client_secret
  tenant_id       = var.azure_tenant_id

  os_type         = "Linux"
  image_publisher = "Debian"
  image_offer     = "debian-12"
  image_sku       = "12-gen2"
  location        = var.azure_location
  vm_size         = "Standard_B2s"

  managed_image_name                = local.image
  managed_image_resource_group_name = var.azure_resource_group
  azure_tags = {
    lbctl-version = var.version
  }
}

source "googlecompute" "debian" {
  project_id          = var.google_project
  account_file        = var.google_account_file
  source_image_family = "debian-12"
  zone                = var.google_zone
  machine_type        = "e2-small"
  ssh_username        = "packer"

  image_name        = local.image
  image_family      = "lbctl"
  image_description = "lbctl ${var.version}: load balancer"
  image_labels = {
    lbctl-version = replace(var.version, ".", "-")
  }
}

build {
  sources = ["source.azure-arm.debian", "source.googlecompute.debian"]

  provisioner "file" {
    source      = var.lbctl
    destination = "/tmp/lbctl"
  }

  provisioner "file" {
    source      = "${path.root}/files"
    destination = "/tmp"
  }

  provisioner "shell" {
    scripts         = ["${path.root}/scripts/install-lbctl", "${path.root}/scripts/leave-nothing"]
    execute_command = "sudo -n bash '{{ .Path }}'"
  }

  post-processor "manifest" {
    output = "packer-manifest.json"
  }
}
