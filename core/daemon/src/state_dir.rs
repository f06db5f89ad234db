//! The directory for what a balancer must remember. It belongs to one balancer at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A state directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct StateDir {
    _lock: File,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It is not there and cannot be made.
    #[error("cannot make the state directory `{}`", .0.display())]
    Create(PathBuf, #[source] io::Error),
    /// Its lock file cannot be opened or written.
    #[error("cannot use the state directory `{}`", .0.display())]
    Use(PathBuf, #[source] io::Error),
    /// It is no directory.
    #[error("`{}` is not a directory", .0.display())]
    NotDirectory(PathBuf),
    /// Other users could change what is in it.
    #[error("the state directory `{}` can be written by other users (mode {mode:04o})", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another balancer uses it.
    #[error("the state directory `{}` is in use by another lbctl{owner}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Which process, as far as known.
        owner: String,
    },
}

impl StateDirError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Create(..) | Self::NotDirectory(_) => {
                "name a directory that can be made or written, with `--state-dir DIR`".to_owned()
            }
            Self::Use(path, _) => format!("see who may write to it: ls -ld {}", path.display()),
            Self::Exposed { path, .. } => format!("chmod go-w {}", path.display()),
            Self::Locked { .. } => {
                "stop the other one, or name another directory with `--state-dir DIR`".to_owned()
            }
        }
    }
}

impl StateDir {
    /// Makes the directory if it is not there, and takes it; another balancer may take this long to
    /// let go of it.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self, StateDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| {
                if error.kind() == io::ErrorKind::AlreadyExists {
                    StateDirError::NotDirectory(path.to_path_buf())
                } else {
                    StateDirError::Create(path.to_path_buf(), error)
                }
            })?;
        let unusable = |error| StateDirError::Use(path.to_path_buf(), error);
        let mode = path.metadata().map_err(unusable)?.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let path = path.to_path_buf();
            return Err(StateDirError::Exposed { path, mode });
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        let until = Instant::now() + patience;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StateDirError::Locked {
                        path: path.to_path_buf(),
                        owner: owner(&mut lock),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
        lock.set_len(0).map_err(unusable)?;
        lock.rewind().map_err(unusable)?;
        writeln!(lock, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self { _lock: lock })
    }
}

/// Who holds the lock, as that process wrote it.
fn owner(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(id) => format!(" (process {id})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_balancer_is_told_who_has_the_directory_and_gets_it_when_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/deep");
        let first = StateDir::open(&path, Duration::ZERO).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        let refused = StateDir::open(&path, Duration::ZERO)
            .unwrap_err()
            .to_string();
        let owner = format!("(process {})", std::process::id());
        assert!(refused.ends_with(&owner), "{refused}");
        drop(first);
        StateDir::open(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let error = StateDir::open(folder.path(), Duration::ZERO).unwrap_err();
        assert!(error.help().starts_with("chmod go-w "), "{error}");
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = StateDir::open(file.path(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, StateDirError::NotDirectory(_)), "{error}");
    }
}
