//! What whoever provisions remembers of a machine in files of their own: a folder for each, for its owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wanted::Owner;

/// The largest file that is read whole.
const BYTES_MAX: u64 = 1 << 20;

/// What says whose a machine is and what was done to it.
pub(crate) const MACHINE: &str = "machine.json";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no place for the files of machines.
    #[error("there is no place for the files of machines: neither XDG_DATA_HOME nor HOME is set")]
    NoHome,
    /// `machine.json` is damaged, or of a later version.
    #[error("`{}` cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no chance to be had.
    #[error("the system gives no random numbers")]
    Random(#[source] io::Error),
}

impl FilesError {
    /// What this error of a file is to people.
    pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            path: path.clone(),
            source,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::File { path, source } if source.kind() == io::ErrorKind::StorageFull => {
                format!("make room: df -h {}", path.display())
            }
            Self::File { path, .. } => {
                format!(
                    "see whether it is there, and who may use it: ls -ld {}",
                    path.display()
                )
            }
            Self::NoHome => "set HOME, or XDG_DATA_HOME to a folder".to_owned(),
            Self::Unreadable { path, .. } => format!(
                "put it back from a copy, or move it away: {}",
                path.display()
            ),
            Self::Random(_) => "see whether /dev/urandom is there".to_owned(),
        }
    }
}

/// The folder of a machine, whether it is there or not.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The one of this balancer, below this part of the data of the user who provisions.
    pub(crate) fn of(part: &str, owner: &Owner) -> Result<Self, FilesError> {
        let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let data = named("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(PathBuf::from(named("HOME")?).join(".local/share")));
        let data = data.ok_or(FilesError::NoHome)?.join(part);
        Ok(Self::at(
            data.join(owner.fleet.as_str())
                .join(owner.balancer.as_str()),
        ))
    }

    pub(crate) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What `machine.json` says; nothing when it is not there.
    pub(crate) fn kept<T: DeserializeOwned>(&self) -> Result<Option<T>, FilesError> {
        let Some(text) = self.read(MACHINE)? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text);
        kept.map(Some).map_err(|error| FilesError::Unreadable {
            path: self.file(MACHINE),
            why: error.to_string(),
        })
    }

    pub(crate) fn keep(&self, kept: &impl Serialize) -> Result<(), FilesError> {
        let text = serde_json::to_string_pretty(kept).unwrap_or_default() + "\n";
        self.write(MACHINE, text.as_bytes())
    }

    /// A small file; nothing when it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, FilesError> {
        let path = self.file(name);
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FilesError::of(&path)(error)),
        }
    }

    /// Writes a file for its owner alone, at once or not at all.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), FilesError> {
        let path = self.file(name);
        let written = || -> io::Result<()> {
            make(&self.path)?;
            let part = path.with_extension("part");
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut made = options.open(&part)?;
            made.write_all(content)?;
            made.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(FilesError::of(&path))
    }

    /// Makes a folder in it, when there is none.
    pub(crate) fn make(&self, name: &str) -> Result<(), FilesError> {
        let path = self.file(name);
        make(&path).map_err(FilesError::of(&path))
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), FilesError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FilesError::of(&path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Makes the folders that are missing, for their owner alone.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Bytes that nobody guesses.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], FilesError> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(FilesError::Random)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_for_its_owner_alone_and_damage_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::at(temporary.path().join("fleet/lb1"));
        assert_eq!(folder.kept::<Vec<u8>>().unwrap(), None);
        folder.keep(&[1, 2]).unwrap();
        assert_eq!(folder.kept::<Vec<u8>>().unwrap(), Some(vec![1, 2]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.file(MACHINE)), 0o600);
        // What a crash has left of a write is overwritten by the next one.
        fs::write(folder.file("machine.part"), "half").unwrap();
        folder.keep(&[3]).unwrap();
        assert_eq!(folder.kept::<Vec<u8>>().unwrap(), Some(vec![3]));
        folder.write(MACHINE, b"[").unwrap();
        let error = folder.kept::<Vec<u8>>().unwrap_err();
        assert!(error.to_string().contains("machine.json"), "{error}");
        folder.remove(MACHINE).unwrap();
        folder.remove(MACHINE).unwrap();
        assert_eq!(folder.read(MACHINE).unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_mend() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::at(temporary.path().to_owned());
        folder.make("token").unwrap();
        for error in [
            folder.write("token", b"x").unwrap_err(),
            folder.read("token").unwrap_err(),
        ] {
            let path = folder.file("token").display().to_string();
            assert!(error.to_string().contains(&path), "{error}");
            assert!(error.help().contains(&path), "{}", error.help());
        }
    }
}
