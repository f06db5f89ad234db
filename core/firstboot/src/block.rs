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
    /// Its serial number, without spaces; empty when it tells none.
    pub(crate) serial: String,
    /// Its world wide name, such as `naa.5000c500a1b2c3d4`; empty when it tells none.
    pub(crate) wwn: String,
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

    /// For people: its name, size, what it is, and what it is called at each start.
    pub(crate) fn words(&self) -> String {
        let mut about = vec![words_of_size(self.bytes())];
        about.extend((!self.model.is_empty()).then(|| self.model.clone()));
        about.extend((!self.serial.is_empty()).then(|| format!("serial {}", self.serial)));
        about.extend((!self.wwn.is_empty()).then(|| format!("WWN {}", self.wwn)));
        format!("{} ({})", self.name, about.join(", "))
    }

    /// Whether this is what it is called at each start. Linux hands out its own names as disks come up.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let wwn = self.wwn.split_once('.').map(|(_, number)| number);
        let names = [self.serial.as_str(), &self.wwn, wwn.unwrap_or_default()];
        !name.is_empty() && names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether there is more to call it by than what Linux does.
    pub(crate) const fn has_lasting_name(&self) -> bool {
        !self.serial.is_empty() || !self.wwn.is_empty()
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
            serial: serial(&folder),
            wwn: wwn(&folder),
            can_go: is_usb || number("removable") == Some(1),
            is_read_only: number("ro") == Some(1),
            name,
        })
    });
    disks.collect()
}

/// The serial number of a disk: SCSI and ATA have it in a page of vital product data (SPC-4, 7.8.15) behind four bytes,
/// disks on `NVMe` and virtio as text.
fn serial(folder: &Path) -> String {
    let page = fs::read(folder.join("device/vpd_pg80")).unwrap_or_default();
    let text = ["device/serial", "serial"].map(|file| fs::read(folder.join(file)));
    let texts = text.into_iter().filter_map(Result::ok);
    let found = page.get(4..).map(<[u8]>::to_vec).into_iter().chain(texts);
    let mut found = found.map(|bytes| word(&bytes));
    found.find(|serial| !serial.is_empty()).unwrap_or_default()
}

/// Its world wide name. What begins with `t10` is made of its model and its serial number.
fn wwn(folder: &Path) -> String {
    let texts = ["device/wwid", "wwid"].map(|file| fs::read(folder.join(file)));
    let mut found = texts
        .into_iter()
        .filter_map(Result::ok)
        .map(|told| word(&told));
    found
        .find(|name| !name.is_empty() && !name.starts_with("t10."))
        .unwrap_or_default()
}

/// What can be seen of this, without the spaces that fill it up.
fn word(bytes: &[u8]) -> String {
    let seen = bytes.iter().filter(|byte| byte.is_ascii_graphic());
    seen.map(|byte| char::from(*byte)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of a disk.
    fn told(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("device")).unwrap();
        for (file, bytes) in files {
            fs::write(folder.path().join(file), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn serial_numbers_and_wwns_are_read_from_where_each_kind_of_disk_has_them() {
        let page = b"\x00\x80\x00\x14         WD-WCC4E1 \0";
        let ata = told(&[
            ("device/vpd_pg80", page),
            ("device/wwid", b"naa.50014ee2b1c0d3f4\n"),
        ]);
        assert_eq!(serial(ata.path()), "WD-WCC4E1");
        assert_eq!(wwn(ata.path()), "naa.50014ee2b1c0d3f4");
        let qemu = told(&[("device/wwid", b"t10.ATA     QEMU HARDDISK  QM00001\n")]);
        assert_eq!((serial(qemu.path()), wwn(qemu.path())), Default::default());
        let nvme = told(&[
            ("device/serial", b"S4EVNF0M8     \n"),
            ("wwid", b"eui.0025385b9150b2d1\n"),
        ]);
        assert_eq!(serial(nvme.path()), "S4EVNF0M8");
        assert_eq!(wwn(nvme.path()), "eui.0025385b9150b2d1");
        assert_eq!(serial(told(&[("serial", b"data-1")]).path()), "data-1");
    }

    #[test]
    fn a_disk_is_called_by_what_stays() {
        let disk = Disk {
            name: "sda".to_owned(),
            sectors: 1 << 22,
            sector_bytes: 512,
            model: "WDC WD20".to_owned(),
            serial: "WD-WCC4E1".to_owned(),
            wwn: "naa.50014ee2b1c0d3f4".to_owned(),
            can_go: false,
            is_read_only: false,
        };
        for name in ["wd-wcc4e1", "naa.50014ee2b1c0d3f4", "50014EE2B1C0D3F4"] {
            assert!(disk.is_called(name), "{name}");
        }
        for name in ["", "sda", "WD", "naa"] {
            assert!(!disk.is_called(name), "{name}");
        }
        assert_eq!(
            disk.words(),
            "sda (2.1 GB, WDC WD20, serial WD-WCC4E1, WWN naa.50014ee2b1c0d3f4)"
        );
    }
}
