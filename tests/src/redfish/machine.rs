//! The machine behind the controller.

use std::net::SocketAddr;
use std::path::Path;

use super::SYSTEM;

/// What starts a machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Firmware {
    Bios,
    Uefi,
}

impl Firmware {
    /// As libvirt has it. What the emulator writes anew when it is told the mode is the same.
    fn elements(self, folder: &str) -> String {
        match self {
            Self::Bios => String::new(),
            Self::Uefi => format!(
                "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>\
                 <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>{folder}/variables.fd</nvram>"
            ),
        }
    }
}

/// The machine as libvirt describes it. Its ports are on the loopback of this machine, whose other addresses it reaches.
pub(super) fn machine(
    folder: &Path,
    admin: SocketAddr,
    http: SocketAddr,
    firmware: Firmware,
) -> String {
    let folder = folder.display().to_string();
    let firmware = firmware.elements(&folder);
    let port = admin.port();
    format!(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>metal</name>
  <uuid>{SYSTEM}</uuid>
  <memory unit='MiB'>768</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>{firmware}<boot dev='hd'/></os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='unsafe'/>
      <source file='{folder}/disk.img'/>
      <target dev='sda' bus='sata'/>
    </disk>
    <serial type='file'><source path='{folder}/console' append='on'/></serial>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-netdev'/>
    <qemu:arg value='user,id=net,hostfwd=tcp:{http}-:80,hostfwd=tcp:{admin}-:{port}'/>
    <qemu:arg value='-device'/>
    <qemu:arg value='e1000e,netdev=net,romfile=,addr=0x10'/>
  </qemu:commandline>
</domain>
"
    )
}
