variable "aws_region" {
  type    = string
  default = "eu-central-1"
}

variable "aws_endpoint" {
  type        = string
  default     = ""
  description = "Another address of the EC2 API, for those who stand in for AWS."
}

variable "aws_source_owner" {
  type        = string
  default     = "136693071363"
  description = "Whose image the image is written from: Debian's."
}

variable "aws_source_name" {
  type        = string
  default     = "debian-12-amd64-*"
  description = "The name of that image; of several the newest is taken."
}

variable "aws_keypair" {
  type        = string
  default     = ""
  description = "A key pair that there is already; when empty, one is made for the build and removed."
}

variable "aws_private_key_file" {
  type    = string
  default = ""
}

variable "aws_ssh_host" {
  type        = string
  default     = ""
  description = "Where the builder is reached, when not at its public address."
}

variable "aws_ssh_port" {
  type    = number
  default = 22
}

variable "aws_ssh_username" {
  type    = string
  default = "admin"
}

variable "aws_device" {
  type        = string
  default     = "/dev/nvme1n1"
  description = "What the second volume is called on the builder."
}

# An AMI of the appliance. Nobody can log in to the appliance, so a Debian next to it writes the image to a second
# volume, which becomes the root of the AMI; nothing of the Debian is in it, and no key of the build.
source "amazon-ebssurrogate" "appliance" {
  region                  = var.aws_region
  custom_endpoint_ec2     = var.aws_endpoint
  skip_region_validation  = var.aws_endpoint != ""
  skip_metadata_api_check = var.aws_endpoint != ""

  instance_type        = "t3.small"
  ssh_username         = var.aws_ssh_username
  ssh_keypair_name     = var.aws_keypair
  ssh_private_key_file = var.aws_private_key_file
  ssh_host             = var.aws_ssh_host
  ssh_port             = var.aws_ssh_port

  source_ami_filter {
    owners      = [var.aws_source_owner]
    most_recent = true
    filters = {
      name                = var.aws_source_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/sdf"
    volume_size           = 2
    volume_type           = "gp2"
    delete_on_termination = true
  }

  ami_name                = "lbctl-${var.version}-{{timestamp}}"
  ami_description         = "lbctl ${var.version}: load balancer"
  ami_virtualization_type = "hvm"
  ena_support             = true
  ami_root_device {
    source_device_name    = "/dev/sdf"
    device_name           = "/dev/xvda"
    volume_size           = 2
    volume_type           = "gp2"
    delete_on_termination = true
  }

  tags = {
    "lbctl:version" = var.version
    Name            = "lbctl ${var.version}"
  }
  run_tags = {
    Name = "packer builds lbctl ${var.version}"
  }
}

build {
  sources = ["source.amazon-ebssurrogate.appliance"]

  provisioner "file" {
    source      = "${var.images}/lbctl.raw.zst"
    destination = "/tmp/lbctl.raw.zst"
  }

  provisioner "shell" {
    script           = "${path.root}/scripts/write-image"
    environment_vars = ["DEVICE=${var.aws_device}"]
    execute_command  = "sudo -n env {{ .Vars }} bash '{{ .Path }}'"
  }

  post-processor "manifest" {
    output = "packer-manifest.json"
  }
}
