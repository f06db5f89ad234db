//! Disks and what they are labelled with. They come up when they like: a controller looks for its disks after its
//! driver is there, USB waits a second, and firmware that plays a CD takes longer.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BLOCK: &str = "/sys/class/block";

const PCI: &str = "/sys/bus/pci/devices";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// For how long nothing new must have come up before nothing more is expected: USB takes a second to begin with.
const QUIET: Duration = Duration::from_secs(3);

/// For how long a disk is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The file systems that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Iso9660,
    Vfat,
    Ext,
}

/// A whole disk, as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Such as `sda`.
    pub(crate) name: String,
    pub(crate) sectors: u64,
    pub(crate) sector_bytes: u64,
    /// What its maker calls it.
    pub(crate) model: String,
    /// It is on USB, or can be taken out.
    pub(crate) can_go: bool,
    pub(crate) is_read_only: bool,
}

impl Disk {
    pub(crate) fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.sectors * crate::table::SECTOR
    }

    /// For people: its name, size, and what it is.
    pub(crate) fn words(&self) -> String {
        let size = words_of_size(self.bytes());
        match self.model.as_str() {
            "" => format!("{} ({size})", self.name),
            model => format!("{} ({size}, {model})", self.name),
        }
    }

    /// The device of one of its partitions, as soon as the kernel knows it.
    pub(crate) fn partition(&self, number: u32) -> Option<PathBuf> {
        let folder = Path::new(BLOCK).join(&self.name);
        let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let mut found = entries.filter(|entry| {
            let told = fs::read_to_string(entry.path().join("partition"));
            told.is_ok_and(|told| told.trim() == number.to_string())
        });
        Some(Path::new("/dev").join(found.next()?.file_name()))
    }
}

/// A size for people, with the units of those who sell disks.
pub(crate) fn words_of_size(bytes: u64) -> String {
    match bytes {
        10_000_000_000.. => format!("{} GB", bytes / 1_000_000_000),
        1_000_000_000.. => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// The disks that there are, in the order of their names. Neither memory that stands for a disk nor CDs are among
/// them.
pub(crate) fn disks() -> Vec<Disk> {
    let others = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtd"];
    let names = names().into_iter();
    let names = names.filter(|name| !others.iter().any(|other| name.starts_with(other)));
    let disks = names.filter_map(|name| {
        let folder = Path::new(BLOCK).join(&name);
        let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
        if folder.join("partition").exists() {
            return None;
        }
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        let place = fs::canonicalize(&folder).unwrap_or_default();
        let is_usb = place.to_string_lossy().contains("/usb");
        Some(Disk {
            sectors: number("size").filter(|sectors| *sectors > 0)?,
            sector_bytes: number("queue/logical_block_size").unwrap_or(crate::table::SECTOR),
            model: read("device/model").unwrap_or_default().trim().to_owned(),
            can_go: is_usb || number("removable") == Some(1),
            is_read_only: number("ro") == Some(1),
            name,
        })
    });
    disks.collect()
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(BLOCK).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Everything that may have a file system on it: disks, partitions, CDs.
pub(crate) fn devices() -> Vec<PathBuf> {
    let names = names().into_iter();
    let names = names.filter(|name| !name.starts_with("loop") && !name.starts_with("ram"));
    names.map(|name| Path::new("/dev").join(name)).collect()
}

/// The first device with this label and one of these file systems. What an installation leaves on a disk may have the
/// same label as the CD that it came from.
pub(crate) fn labelled(label: &str, kinds: &[FileSystem]) -> Option<(PathBuf, FileSystem)> {
    devices().into_iter().find_map(|device| {
        let kind = file_system(&device, label)?;
        kinds.contains(&kind).then_some((device, kind))
    })
}

/// What file system a device has; nothing when it has another label. Cases are the same.
pub(crate) fn file_system(device: &Path, label: &str) -> Option<FileSystem> {
    let disk = File::open(device).ok()?;
    let read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    };
    let is_label = |bytes: Option<Vec<u8>>| {
        bytes.is_some_and(|bytes| {
            String::from_utf8_lossy(&bytes)
                .trim_end_matches([' ', '\0'])
                .eq_ignore_ascii_case(label)
        })
    };
    // The primary descriptor of a CD (ECMA-119, 8.4), with 32 characters of label.
    if read(32_769, 5).as_deref() == Some(b"CD001") && is_label(read(32_808, 32)) {
        return Some(FileSystem::Iso9660);
    }
    // The superblock of ext4, with 16 characters.
    if read(1080, 2).as_deref() == Some(&[0x53, 0xef]) && is_label(read(1144, 16)) {
        return Some(FileSystem::Ext);
    }
    // The boot sector of FAT: 11 characters, at one place in FAT12 and FAT16, at another in FAT32.
    if read(510, 2).as_deref() == Some(&[0x55, 0xaa])
        && (is_label(read(43, 11)) || is_label(read(71, 11)))
    {
        return Some(FileSystem::Vfat);
    }
    None
}

/// Looks again and again until there is an answer, at most this long; less when nothing more is expected to come up.
pub(crate) fn eventually<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    let (mut known, mut changed) = (names(), began);
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        let now = names();
        if now != known {
            (known, changed) = (now, Instant::now());
        }
        let is_quiet = changed.elapsed() >= QUIET && !is_controller_without_disks();
        if is_quiet || began.elapsed() >= patience {
            return None;
        }
        sleep(PAUSE);
    }
}

/// Whether a controller has a driver, and no disk yet.
fn is_controller_without_disks() -> bool {
    let entries = fs::read_dir(PCI).into_iter().flatten();
    let mut controllers = entries.filter_map(Result::ok).filter(|entry| {
        // The class of mass storage (PCI Code and ID Assignment, 1.2).
        let class = fs::read_to_string(entry.path().join("class"));
        class.is_ok_and(|class| class.starts_with("0x01")) && entry.path().join("driver").exists()
    });
    let places: Vec<PathBuf> = names()
        .iter()
        .filter_map(|name| fs::canonicalize(Path::new(BLOCK).join(name)).ok())
        .collect();
    controllers.any(|controller| {
        let own = fs::canonicalize(controller.path()).unwrap_or_default();
        !places.iter().any(|place| place.starts_with(&own))
    })
}
