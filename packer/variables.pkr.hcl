variable "images" {
  type        = string
  default     = "dist"
  description = "The folder that packer/appliance/build has filled: lbctl.raw, lbctl.raw.zst, SHA256SUMS."
}

variable "version" {
  type        = string
  default     = "0.1.0"
  description = "The version of lbctl in the images."
}

variable "output" {
  type        = string
  default     = "dist/packer"
  description = "The folder for what is built on this machine. It must not exist yet."
}

variable "accel" {
  type        = string
  default     = "kvm"
  description = "What QEMU runs with: kvm, or tcg where there is no KVM."
}

variable "http_port" {
  type        = number
  default     = 18080
  description = "A free port of this machine, at which the image is tried before it is taken."
}

variable "install_images" {
  type        = string
  default     = "dist/install"
  description = "The folder with a CD that installs by itself: packer/appliance/build --kernel hardware --seed packer/install/seed."
}
