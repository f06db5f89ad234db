# The image for QEMU, KVM and whatever takes its formats. It is started as a user would, tried over HTTP, and
# switched off by its power button; nothing that it writes meanwhile is kept.
source "qemu" "appliance" {
  iso_url          = "${var.images}/lbctl.raw"
  iso_checksum     = "file:${var.images}/SHA256SUMS"
  disk_image       = true
  skip_resize_disk = true
  skip_compaction  = true
  format           = "qcow2"
  output_directory = var.output
  vm_name          = "lbctl-${var.version}.qcow2"

  accelerator      = var.accel
  headless         = true
  disable_vnc      = true
  boot_wait        = "-1s"
  display          = "none"
  memory           = 512
  communicator     = "none"
  shutdown_timeout = "2m"

  qemuargs = [
    ["-cpu", "max"],
    ["-snapshot", ""],
    ["-qmp", "unix:${var.output}/qmp,server=on,wait=off"],
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:${var.http_port}-:80"],
    ["-device", "virtio-net-pci,netdev=user.0,romfile="],
    ["-drive", "if=none,id=system,file=${var.output}/lbctl-${var.version}.qcow2,format=qcow2"],
    ["-device", "virtio-blk-pci,drive=system,bootindex=1"],
    ["-blockdev", "driver=vvfat,dir=${path.root}/check,label=CIDATA,node-name=seed,read-only=on"],
    ["-device", "virtio-blk-pci,drive=seed"],
  ]
}

build {
  sources = ["source.qemu.appliance"]

  provisioner "shell-local" {
    command = "${path.root}/scripts/check http://127.0.0.1:${var.http_port}/ ${var.output}/qmp"
  }

  post-processors {
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "${var.output}/SHA256SUMS"
    }
    post-processor "manifest" {
      output     = "${var.output}/manifest.json"
      strip_path = true
    }
  }
}
