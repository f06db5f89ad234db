//! The disk that is installed on: which one, what it holds, and how it is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_model::seed::Install;

use super::{InstallError, STATE_LABEL, call};
use crate::block::{self, Disk, FileSystem};
use crate::medium;
use crate::table::{self, SECTOR, SECTOR_LENGTH, Table};

/// How much of each end of a disk is looked at. Tables of partitions, and what says which file system there is, are
/// there.
const END_BYTES: usize = 1 << 20;

/// How much is written, and read, at a time.
const CHUNK: usize = 4 << 20;

/// What a BIOS starts from a disk.
const BOOT_CODE: &str = "/usr/share/lbctl/gptmbr.bin";

/// For how long the kernel may take to know new partitions.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    /// The appliance, or what an interrupted installation has left.
    Appliance(Option<Table>),
    /// What is not ours, in words.
    Else(String),
}

/// A disk to install on.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) disk: Disk,
    pub(super) holds: Holds,
    table: Option<Table>,
}

impl Holds {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Nothing => "it is empty".to_owned(),
            Self::Appliance(Some(_)) => "it has the appliance".to_owned(),
            Self::Appliance(None) => "an installation was interrupted".to_owned(),
            Self::Else(what) => format!("it holds {what}, which goes"),
        }
    }

    /// What these ends of a disk say.
    pub(super) fn of(head: &[u8], tail: &[u8]) -> Self {
        if let Some(table) = Table::of_ends(head, tail) {
            return Self::Appliance(table);
        }
        // Disks that were erased read as all zeros, some as all ones.
        let is_blank = |byte: u8| head.iter().chain(tail).all(|other| *other == byte);
        if is_blank(0) || is_blank(0xff) {
            return Self::Nothing;
        }
        Self::Else(what(head).to_owned())
    }
}

/// What something is that is not ours, for people.
fn what(head: &[u8]) -> &'static str {
    let is = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if is(512, b"EFI PART") {
        "a table of partitions (GPT)"
    } else if is(3, b"NTFS") || is(54, b"FAT") || is(82, b"FAT") {
        "a file system of Windows"
    } else if is(0, b"LUKS\xba\xbe") {
        "an encrypted disk"
    } else if is(0, b"XFSB") || is(1080, &[0x53, 0xef]) || is(65_600, b"_BHRfS_M") {
        "a file system of Linux"
    } else if is(512, b"LABELONE") {
        "a volume of LVM"
    } else if is(4096, &[0xfc, 0x4e, 0x2b, 0xa9]) {
        "a part of a RAID"
    } else if is(510, &[0x55, 0xaa]) {
        "a table of partitions (MBR)"
    } else {
        "something that is not empty"
    }
}

/// The disk that is named, or the only one that there is.
pub(super) fn choose(wanted: &Install, medium: &Path) -> Result<Chosen, InstallError> {
    let disk = match &wanted.disk {
        Some(name) => named(name.as_str(), medium)?,
        None => only(medium)?,
    };
    let (head, tail) = ends(&disk)?;
    let holds = Holds::of(&head, &tail);
    if let (Holds::Else(what), false) = (&holds, wanted.wipe) {
        return Err(InstallError::Occupied {
            disk: disk.words(),
            what: what.clone(),
        });
    }
    Ok(Chosen {
        table: None,
        disk,
        holds,
    })
}

fn is_medium(disk: &Disk, medium: &Path) -> bool {
    let name = medium.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(disk.name.as_str());
    rest.is_some_and(|rest| {
        let number = rest.strip_prefix('p').unwrap_or(rest);
        number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn named(name: &str, medium: &Path) -> Result<Disk, InstallError> {
    let find = || block::disks().into_iter().find(|disk| disk.is_called(name));
    block::eventually(block::PATIENCE, find);
    let disk = pick(name, &block::disks(), |disk| {
        !disk.can_go && unfit(disk, medium).is_none()
    })?;
    match unfit(&disk, medium) {
        Some(why) => Err(InstallError::Unfit {
            disk: disk.words(),
            why,
        }),
        None => Ok(disk),
    }
}

/// The disk of this name. One that Linux has given is not relied on where it could mean another disk at the next start.
pub(super) fn pick(
    name: &str,
    all: &[Disk],
    is_fit: impl Fn(&Disk) -> bool,
) -> Result<Disk, InstallError> {
    let mut called = all.iter().filter(|disk| disk.is_called(name));
    let by_chance = all.iter().find(|disk| disk.name == name);
    let ambiguous = || InstallError::Ambiguous {
        name: name.to_owned(),
        there: words(all),
    };
    match (called.next(), called.next(), by_chance) {
        (Some(disk), None, _) => Ok(disk.clone()),
        (Some(_), Some(_), _) => Err(ambiguous()),
        (None, _, Some(disk)) => {
            let others = all
                .iter()
                .filter(|other| other.name != name && is_fit(other));
            if disk.has_lasting_name() && others.count() > 0 {
                return Err(ambiguous());
            }
            Ok(disk.clone())
        }
        (None, _, None) => Err(InstallError::NoSuchDisk {
            name: name.to_owned(),
            there: words(all),
        }),
    }
}

fn only(medium: &Path) -> Result<Disk, InstallError> {
    // All of them must be up to know that there is one.
    block::eventually(block::PATIENCE, || None::<()>);
    let all = block::disks();
    let fit = |disk: &&Disk| !disk.can_go && unfit(disk, medium).is_none();
    let mut fit: Vec<Disk> = all.iter().filter(fit).cloned().collect();
    match (fit.pop(), fit.is_empty()) {
        (Some(disk), true) => Ok(disk),
        (Some(disk), false) => {
            fit.push(disk);
            Err(InstallError::SeveralDisks(words(&fit)))
        }
        (None, _) => Err(InstallError::NoDisk(words(&all))),
    }
}

/// Why it cannot be installed on a disk, as the end of a sentence.
fn unfit(disk: &Disk, medium: &Path) -> Option<String> {
    if is_medium(disk, medium) {
        Some("this machine has started from it".to_owned())
    } else if disk.is_read_only {
        Some("it is read-only".to_owned())
    } else if disk.sector_bytes != SECTOR {
        Some(format!(
            "its sectors have {} bytes, not {SECTOR}",
            disk.sector_bytes
        ))
    } else if disk.bytes() < Table::bytes_min() {
        let least = block::words_of_size(Table::bytes_min());
        Some(format!("it is too small: {least} are needed"))
    } else {
        None
    }
}

fn words(disks: &[Disk]) -> String {
    let all: Vec<String> = disks.iter().map(Disk::words).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

fn ends(disk: &Disk) -> Result<(Vec<u8>, Vec<u8>), InstallError> {
    let failed = failed(disk, "read");
    let file = File::open(disk.device()).map_err(&failed)?;
    let (mut head, mut tail) = (vec![0; END_BYTES], vec![0; END_BYTES]);
    file.read_exact_at(&mut head, 0).map_err(&failed)?;
    let at = disk.bytes() - END_BYTES as u64;
    file.read_exact_at(&mut tail, at).map_err(&failed)?;
    Ok((head, tail))
}

fn failed(disk: &Disk, what: &'static str) -> impl Fn(io::Error) -> InstallError {
    let disk = disk.words();
    move |source| InstallError::Disk {
        disk: disk.clone(),
        what,
        source,
    }
}

impl Chosen {
    /// The partition with what a balancer that was there remembers.
    pub(super) fn kept_state(&self) -> Option<PathBuf> {
        let Holds::Appliance(Some(_)) = self.holds else {
            return None;
        };
        let device = self.disk.partition(2)?;
        (block::file_system(&device, STATE_LABEL) == Some(FileSystem::Ext)).then_some(device)
    }

    /// The table for an image of this size: the one that there is, which only grows, or a new one.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), InstallError> {
        let bytes = bytes as u64;
        let table = match self.holds {
            Holds::Appliance(Some(table)) => table.grown(self.disk.sectors),
            Holds::Nothing | Holds::Appliance(None) | Holds::Else(_) => {
                // What is unfit was refused before.
                let table = Table::of_disk(self.disk.sectors);
                table.ok_or_else(|| InstallError::NoDisk(self.disk.words()))?
            }
        };
        if bytes > table.boot.bytes() {
            return Err(InstallError::NoRoom {
                disk: self.disk.words(),
                has: block::words_of_size(table.boot.bytes()),
                needs: block::words_of_size(bytes),
            });
        }
        self.table = Some(table);
        Ok(())
    }

    fn planned(&self) -> Result<Table, InstallError> {
        self.table
            .ok_or_else(|| InstallError::NoDisk(self.disk.words()))
    }

    /// Writes the table, and what is started from.
    pub(super) fn write(&self, image: &[u8]) -> Result<(), InstallError> {
        let table = self.planned()?;
        let failed = failed(&self.disk, "written");
        let code = std::fs::read(BOOT_CODE).map_err(&failed)?;
        let file = OpenOptions::new().write(true).open(self.disk.device());
        let file = file.map_err(&failed)?;
        let sectors = self.disk.sectors;
        match self.holds {
            Holds::Appliance(Some(_)) => {
                table::write(&file, &table.pieces_again(sectors, &code)).map_err(&failed)?;
            }
            Holds::Nothing | Holds::Appliance(None) | Holds::Else(_) => {
                let pieces = table.pieces(sectors, &code);
                let (first, rest) = pieces.split_at(1);
                table::write(&file, first).map_err(&failed)?;
                // Nothing of what was there is taken for something of ours afterwards.
                let zeros = |bytes: usize| vec![0; bytes];
                let head = 34 * SECTOR;
                let state = table.state.begin * SECTOR;
                let end = self.disk.bytes() - END_BYTES as u64;
                let rest_of_head = END_BYTES - 34 * SECTOR_LENGTH;
                let erased = [
                    (head, zeros(rest_of_head)),
                    (state, zeros(END_BYTES)),
                    (end, zeros(END_BYTES)),
                ];
                table::write(&file, &erased).map_err(&failed)?;
                table::write(&file, rest).map_err(&failed)?;
            }
        }
        put(&file, table.boot.begin * SECTOR, image).map_err(&failed)?;
        drop(file);
        call("blockdev", &["--rereadpt"], &self.disk.device())
    }

    /// Reads from the disk what was written, not what the kernel remembers.
    pub(super) fn verify(&self, image: &[u8]) -> Result<(), InstallError> {
        let table = self.planned()?;
        let failed = failed(&self.disk, "read");
        call("blockdev", &["--flushbufs"], &self.disk.device())?;
        let file = File::open(self.disk.device()).map_err(&failed)?;
        let mut read = vec![0; image.len()];
        let at = table.boot.begin * SECTOR;
        for (number, part) in read.chunks_mut(CHUNK).enumerate() {
            let at = at + (number * CHUNK) as u64;
            file.read_exact_at(part, at).map_err(&failed)?;
        }
        if medium::digest(&read) == medium::digest(image) {
            Ok(())
        } else {
            Err(InstallError::Differs(self.disk.words()))
        }
    }

    /// The partition for the state.
    pub(super) fn state(&self) -> Result<PathBuf, InstallError> {
        let look = || self.disk.partition(2);
        let found = block::eventually(PATIENCE, look);
        found.ok_or_else(|| InstallError::NoPartition(self.disk.words()))
    }
}

/// Writes an image of which the first sector makes it one: that goes first and comes last.
fn put(file: &File, at: u64, image: &[u8]) -> io::Result<()> {
    let (first, rest) = image
        .split_at_checked(SECTOR_LENGTH)
        .unwrap_or((image, &[]));
    file.write_all_at(&[0; SECTOR_LENGTH], at)?;
    file.sync_all()?;
    for (number, part) in rest.chunks(CHUNK).enumerate() {
        file.write_all_at(part, at + SECTOR + (number * CHUNK) as u64)?;
    }
    file.sync_all()?;
    file.write_all_at(first, at)?;
    file.sync_all()
}
