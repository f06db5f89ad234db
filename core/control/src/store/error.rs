//! Why revisions cannot be read or written, and what to do then.

use std::io;
use std::path::PathBuf;

use super::Damage;

/// Why revisions cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room.
    #[error("there is no room for revision {number} in `{}`", directory.display())]
    Full {
        /// The number it would have got.
        number: u64,
        /// Where.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A revision could not be written.
    #[error("revision {number} cannot be stored in `{}`", directory.display())]
    Write {
        /// The number it would have got.
        number: u64,
        /// Where.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What an attempt that failed has left could not be taken away.
    #[error("`{}` was left by a change that failed, and cannot be taken away", path.display())]
    Left {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory cannot be used.
    #[error("the revisions in `{}` cannot be read", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A revision is not as it was written.
    #[error("revision {number} cannot be used: {damage}")]
    Damaged {
        /// Its number.
        number: u64,
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// There are revisions, and all of them are damaged.
    #[error("none of the {count} revisions in `{}` can be used; the newest: {damage}", directory.display())]
    NothingGood {
        /// The directory.
        directory: PathBuf,
        /// How many there are.
        count: usize,
        /// What is wrong with the newest.
        damage: Damage,
    },
    /// There is nothing to go back to.
    #[error("no revision before {0} can be used")]
    NothingBefore(u64),
}

impl StoreError {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Full { directory, .. } => {
                format!(
                    "make room and try again; see: df -h {0}; df -i {0}",
                    directory.display()
                )
            }
            Self::Write { directory, .. } | Self::Directory { directory, .. } => {
                format!(
                    "see who may write there, and what the kernel says: ls -ld {}; dmesg",
                    directory.display()
                )
            }
            Self::NothingBefore(_) => "apply a document that is right".to_owned(),
            Self::Left { path, .. } => format!("rm {}", path.display()),
            Self::Damaged { path, .. } => format!(
                "put `{}` back from a backup; the other revisions can be used, and `lbctl rollback` \
                 goes back to any of them",
                path.display()
            ),
            Self::NothingGood { directory, .. } => format!(
                "put it back from a backup; or begin a new history with the document: mv {0} {0}.damaged",
                directory.display()
            ),
        })
    }
}
