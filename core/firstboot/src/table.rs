//! The table of partitions of a disk with the appliance (UEFI, 5.3): one partition to start from, one for the state,
//! which takes the rest.

use std::io;

/// Bytes of a sector. Disks that show larger ones are not written to.
pub(crate) const SECTOR: u64 = 512;

/// The same, as the length of what is in memory.
pub(crate) const SECTOR_LENGTH: usize = 512;

/// Where the first partition begins, and what others are rounded to.
const MIB: u64 = (1 << 20) / SECTOR;

/// The room for kernels to come.
const BOOT_MIB: u64 = 256;

/// The least that is left for the state.
const STATE_MIB: u64 = 64;

const ENTRIES: usize = 128;
const ENTRY_BYTES: usize = 128;
/// Sectors that the entries take.
const ENTRY_SECTORS: u64 = (ENTRIES * ENTRY_BYTES) as u64 / SECTOR;

/// What every disk with the appliance is called, as `packer/appliance/build` does: the disk, and its two partitions.
const DISK: [u8; 16] = identity(1);
const BOOT: [u8; 16] = identity(2);
const STATE: [u8; 16] = identity(3);

/// The types of the partitions: an EFI system partition, and a file system of Linux.
const SYSTEM: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];
const LINUX: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];

/// A BIOS may start from this partition.
const LEGACY_BOOT: u64 = 1 << 2;

/// `4C424354-4C00-4000-8000-00000000000N`, with the ends as UEFI has them.
const fn identity(number: u8) -> [u8; 16] {
    [
        0x54, 0x43, 0x42, 0x4c, 0x00, 0x4c, 0x00, 0x40, 0x80, 0x00, 0, 0, 0, 0, 0, number,
    ]
}

/// Sectors of a partition, the last one not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

/// The partitions of a disk with the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) boot: Extent,
    pub(crate) state: Extent,
}

/// What is written to a disk: where, in bytes, and what.
pub(crate) type Piece = (u64, Vec<u8>);

impl Extent {
    pub(crate) const fn bytes(self) -> u64 {
        (self.end - self.begin) * SECTOR
    }
}

impl Table {
    /// The table of a new disk with so many sectors; nothing when it is too small.
    pub(crate) fn of_disk(sectors: u64) -> Option<Self> {
        let boot = Extent {
            begin: MIB,
            end: MIB + BOOT_MIB * MIB,
        };
        let end = end_of_state(sectors);
        let state = Extent {
            begin: boot.end,
            end,
        };
        (end >= boot.end + STATE_MIB * MIB).then_some(Self { boot, state })
    }

    /// The least that a disk must have, in bytes.
    pub(crate) const fn bytes_min() -> u64 {
        (2 + BOOT_MIB + STATE_MIB) * MIB * SECTOR
    }

    /// The same on a disk that is larger than the table says: the state takes the rest.
    pub(crate) fn grown(self, sectors: u64) -> Self {
        let end = end_of_state(sectors).max(self.state.end);
        Self {
            state: Extent { end, ..self.state },
            ..self
        }
    }

    /// Reads the table of a disk that has the appliance on it, or had, from both of its ends. Nothing when the disk is
    /// not ours; no partitions when neither table is whole.
    #[expect(
        clippy::option_option,
        reason = "a disk that is not ours is another thing than one of ours without a whole table"
    )]
    pub(crate) fn of_ends(head: &[u8], tail: &[u8]) -> Option<Option<Self>> {
        let sector = SECTOR_LENGTH;
        let (all, entries) = (ENTRIES * ENTRY_BYTES, 2 * sector);
        let first = Self::read(
            head.get(sector..2 * sector)?,
            head.get(entries..entries + all)?,
        );
        if first != Some(None) {
            return first;
        }
        let header = tail.len().checked_sub(sector)?;
        let second = Self::read(
            tail.get(header..)?,
            tail.get(header.checked_sub(all)?..header)?,
        );
        second.or(first)
    }

    /// Reads one of the two tables.
    #[expect(
        clippy::option_option,
        reason = "a disk that is not ours is another thing than one of ours without a whole table"
    )]
    fn read(header: &[u8], entries: &[u8]) -> Option<Option<Self>> {
        let claimed = u32_at(header, 16)?;
        let mut without = header.get(..92)?.to_vec();
        without.get_mut(16..20)?.fill(0);
        let is_ours = header.starts_with(b"EFI PART")
            && crc32(&without) == claimed
            && header.get(56..72)? == DISK;
        if !is_ours {
            return None;
        }
        if u32_at(header, 88)? != crc32(entries) {
            return Some(None);
        }
        let extent = |name: [u8; 16]| {
            let mut all = entries.chunks_exact(ENTRY_BYTES);
            let entry = all.find(|entry| entry.get(16..32) == Some(&name))?;
            let (begin, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
            (begin >= 34 && begin <= last && last < u64::MAX >> 10).then_some(Extent {
                begin,
                end: last + 1,
            })
        };
        let table = extent(BOOT).zip(extent(STATE));
        Some(table.map(|(boot, state)| Self { boot, state }))
    }

    /// What to write where there is a table already: the second one first, so that one of them is whole at any time.
    pub(crate) fn pieces_again(self, sectors: u64, boot_code: &[u8]) -> Vec<Piece> {
        let mut pieces = self.pieces(sectors, boot_code);
        pieces.rotate_left(2);
        // The second table, the first sector, and then the first table.
        pieces
    }

    /// What to write, in this order. The header is first: with it the disk is ours, whatever happens then.
    pub(crate) fn pieces(self, sectors: u64, boot_code: &[u8]) -> Vec<Piece> {
        let last = sectors - 1;
        let mut entries = vec![0; ENTRIES * ENTRY_BYTES];
        let all = [
            entry(SYSTEM, BOOT, self.boot, LEGACY_BOOT, "lbctl-boot"),
            entry(LINUX, STATE, self.state, 0, "lbctl-state"),
        ]
        .concat();
        if let Some(first) = entries.get_mut(..all.len()) {
            first.copy_from_slice(&all);
        }
        let sum = crc32(&entries);
        let header = |own: u64, other: u64, at: u64| header(own, other, at, sectors, sum);
        let backup = last - ENTRY_SECTORS;
        vec![
            (SECTOR, header(1, last, 2)),
            (2 * SECTOR, entries.clone()),
            (backup * SECTOR, entries),
            (last * SECTOR, header(last, 1, backup)),
            (0, protective(sectors, boot_code)),
        ]
    }
}

fn end_of_state(sectors: u64) -> u64 {
    // A MiB is left for the second table.
    (sectors / MIB * MIB).saturating_sub(MIB)
}

fn entry(kind: [u8; 16], name: [u8; 16], extent: Extent, attributes: u64, label: &str) -> Vec<u8> {
    let mut entry = [kind, name].concat();
    entry.extend(extent.begin.to_le_bytes());
    entry.extend((extent.end - 1).to_le_bytes());
    entry.extend(attributes.to_le_bytes());
    entry.extend(label.encode_utf16().flat_map(u16::to_le_bytes));
    entry.resize(ENTRY_BYTES, 0);
    entry
}

fn header(own: u64, other: u64, entries: u64, sectors: u64, sum: u32) -> Vec<u8> {
    let usable = 2 + ENTRY_SECTORS;
    let mut header = b"EFI PART\0\0\x01\0".to_vec();
    header.extend(92_u32.to_le_bytes());
    header.extend([0; 8]);
    for number in [own, other, usable, sectors - usable] {
        header.extend(number.to_le_bytes());
    }
    header.extend(DISK);
    header.extend(entries.to_le_bytes());
    for number in [128_u32, 128, sum] {
        header.extend(number.to_le_bytes());
    }
    let own_sum = crc32(&header).to_le_bytes();
    if let Some(place) = header.get_mut(16..20) {
        place.copy_from_slice(&own_sum);
    }
    header.resize(512, 0);
    header
}

/// The first sector: code for a BIOS, and one entry that says that the whole disk is taken.
fn protective(sectors: u64, boot_code: &[u8]) -> Vec<u8> {
    let mut sector: Vec<u8> = boot_code.iter().copied().take(440).collect();
    sector.resize(446, 0);
    sector.extend([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    sector.extend(1_u32.to_le_bytes());
    let length = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    sector.extend(length.to_le_bytes());
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// CRC-32 as Ethernet has it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let low = sum & 1;
            (sum >> 1) ^ (0xedb8_8320 * low)
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// Whole or not at all, so that a write that is cut short is an error.
pub(crate) fn write(disk: &std::fs::File, pieces: &[Piece]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    for (at, bytes) in pieces {
        disk.write_all_at(bytes, *at)?;
        disk.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
