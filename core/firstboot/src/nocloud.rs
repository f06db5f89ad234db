//! Disks with a seed (`NoCloud`): a CD, a disk or a USB stick with the label `cidata`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::FirstBootError;
use crate::source::Found;

const LABEL: &str = "cidata";

/// Between two looks for disks that come up.
const PAUSE: Duration = Duration::from_millis(100);

/// The file systems that a seed may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileSystem {
    Iso9660,
    Vfat,
}

/// The first disk with the label, which is waited for.
pub(crate) fn find(patience: Duration) -> Option<PathBuf> {
    let until = Instant::now() + patience;
    loop {
        let mut devices: Vec<PathBuf> = fs::read_dir("/sys/class/block")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(Path::new("/dev").join(entry.ok()?.file_name())))
            .collect();
        devices.sort();
        if let Some(device) = devices
            .into_iter()
            .find(|device| file_system(device).is_some())
        {
            return Some(device);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(PAUSE);
    }
}

/// What file system a disk with a seed has; nothing when it has another label.
fn file_system(device: &Path) -> Option<FileSystem> {
    let disk = File::open(device).ok()?;
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    };
    let is_label = |bytes: Option<Vec<u8>>| {
        bytes.is_some_and(|bytes| {
            String::from_utf8_lossy(&bytes)
                .trim_end()
                .eq_ignore_ascii_case(LABEL)
        })
    };
    // The primary descriptor of a CD (ECMA-119, 8.4), with 32 characters of label.
    if read(32_769, 5).as_deref() == Some(b"CD001") && is_label(read(32_808, 32)) {
        return Some(FileSystem::Iso9660);
    }
    // The boot sector of FAT: 11 characters, at one place in FAT12 and FAT16, at another in FAT32.
    if read(510, 2).as_deref() == Some(&[0x55, 0xaa])
        && (is_label(read(43, 11)) || is_label(read(71, 11)))
    {
        return Some(FileSystem::Vfat);
    }
    None
}

/// Mounts a disk to read it alone, and takes it away again.
pub(crate) fn with(
    device: &Path,
    look: impl FnOnce(&Path) -> Result<Found, FirstBootError>,
) -> Result<Found, FirstBootError> {
    let failed = |source| FirstBootError::Mount {
        device: device.to_owned(),
        source,
    };
    let kind = match file_system(device) {
        Some(FileSystem::Iso9660) | None => c"iso9660",
        Some(FileSystem::Vfat) => c"vfat",
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(device, folder.path(), kind, flags, None).map_err(|error| failed(error.into()))?;
    let found = look(folder.path());
    unmount(folder.path(), UnmountFlags::DETACH).map_err(|error| failed(error.into()))?;
    found
}
