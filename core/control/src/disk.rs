//! The few things that are done to a file system. They are a trait so that tests can fail each of
//! them, and cut the power between any two.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// A file system.
pub(crate) trait Disk: Send + Sync {
    /// Makes a directory for its owner alone, unless it is there.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// A whole file, or an error if it has more bytes than this.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let (bytes, length) = self.read_start(path, bytes_max)?;
        if length > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }
    /// The beginning of a file, at most this many bytes, and the length of all of it.
    fn read_start(&self, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u64)>;
    /// An empty file for its owner alone, in the place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>>;
    /// A file to be written at its end, from this many bytes on.
    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn Written>>;
    /// Gives a file another name, in the place of one that is there: at once or not at all.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Waits until the names in a directory would survive a power cut.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait Written: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Waits until what was written would survive a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct Machine;

impl Disk for Machine {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn read_start(&self, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        // What somebody put there may be a link, a pipe that never ends or a device.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        let wanted = found.len().min(bytes_max);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).unwrap_or_default());
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok((bytes, found.len()))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn Written>> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        file.set_len(length)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Written for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Puts a small file in the place of another, durably: whoever reads it finds the old or the new
/// one.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension("new");
    let written = disk.create(&new).and_then(|mut file| {
        file.write(bytes)?;
        file.sync()
    });
    let replaced = written.and_then(|()| disk.rename(&new, path));
    if let Err(error) = replaced {
        // Half a file is in nobody's way; the next attempt writes over it.
        drop(disk.remove(&new));
        return Err(error);
    }
    disk.sync_dir(path.parent().unwrap_or(Path::new("/")))
}
