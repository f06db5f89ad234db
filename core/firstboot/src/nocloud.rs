//! Disks with a seed (`NoCloud`): a CD, a disk or a USB stick with the label `cidata`.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::block::{self, FileSystem};
use crate::error::FirstBootError;

const LABEL: &str = "cidata";

/// The first disk with the label that is there.
pub(crate) fn now() -> Option<PathBuf> {
    let kinds = [FileSystem::Iso9660, FileSystem::Vfat];
    block::labelled(LABEL, &kinds).map(|(device, _)| device)
}

/// Mounts a disk to read it alone, and takes it away again.
pub(crate) fn with<T>(
    device: &Path,
    look: impl FnOnce(&Path) -> Result<T, FirstBootError>,
) -> Result<T, FirstBootError> {
    let kind = block::file_system(device, LABEL);
    mounted(device, kind.unwrap_or(FileSystem::Iso9660), true, look)
}

/// Mounts a device, and takes it away again.
pub(crate) fn mounted<T>(
    device: &Path,
    kind: FileSystem,
    is_read_only: bool,
    look: impl FnOnce(&Path) -> Result<T, FirstBootError>,
) -> Result<T, FirstBootError> {
    let failed = |source| FirstBootError::Mount {
        device: device.to_owned(),
        source,
    };
    let kind = match kind {
        FileSystem::Iso9660 => c"iso9660",
        FileSystem::Vfat => c"vfat",
        FileSystem::Ext => c"ext4",
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if is_read_only {
        flags |= MountFlags::RDONLY;
    }
    mount(device, folder.path(), kind, flags, None).map_err(|error| failed(error.into()))?;
    let found = look(folder.path());
    // What is written must be on the disk when the machine goes off.
    let flags = if is_read_only {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    unmount(folder.path(), flags).map_err(|error| failed(error.into()))?;
    found
}
