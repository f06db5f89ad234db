//! Files that operators keep on the balancer.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Unusable;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The largest list of revoked certificates that is read: those of large authorities have tens of
/// megabytes.
pub(super) const LIST_BYTES_MAX: u64 = 64 << 20;

/// What tells that a file was changed: its number, its size, and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    written: (i64, i64),
}

/// What tells later whether a file was changed; none when it is not there.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: found.ino(),
        bytes: found.size(),
        written: (found.mtime(), found.mtime_nsec()),
    })
}

/// A certificate or a key.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, FILE_BYTES_MAX)
}

/// A file of an operator, which may be behind a link as certificate programs make them. A pipe or a
/// device would never end.
fn read_up_to(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if found.len() > bytes_max {
        let limit = bytes_max >> 20;
        return Err(io::Error::other(format!(
            "it is larger than {limit} MiB, the most that is read"
        )));
    }
    fs::read(path)
}

/// What is in a file of at most so many bytes, and what people call it.
pub(super) fn open(path: &Path, bytes_max: u64) -> Result<(Vec<u8>, String), Unusable> {
    let place = place(path);
    match read_up_to(path, bytes_max) {
        Ok(bytes) => Ok((bytes, place)),
        Err(error) => Err(Unusable::File {
            place,
            reason: error.to_string(),
        }),
    }
}

/// A certificate or a key, and what people call it.
pub(super) fn open_small(path: &Path) -> Result<(Vec<u8>, String), Unusable> {
    open(path, FILE_BYTES_MAX)
}

fn place(path: &Path) -> String {
    format!("`{}`", path.display())
}
