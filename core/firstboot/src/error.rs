//! What goes wrong at a first start, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a part of a first start was not done.
#[derive(Debug, thiserror::Error)]
pub enum FirstBootError {
    /// A file cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the seed is too large.
    #[error("`{}` is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A disk cannot be mounted.
    #[error("the disk `{}` cannot be mounted", device.display())]
    Mount {
        /// The disk.
        device: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The metadata of the cloud cannot be read.
    #[error("the metadata of the cloud at `{address}` cannot be read: {why}")]
    Metadata {
        /// Where it was asked for.
        address: String,
        /// Why.
        why: String,
    },
    /// The user data is something else.
    #[error("the user data of {0} does not begin with the line `#lbctl`")]
    NotASeed(String),
    /// The seed is wrong.
    #[error("the seed is wrong, and none of it is used:\n{shown}")]
    Seed {
        /// Everything that is wrong with it, for people, without its lines.
        shown: String,
    },
    /// The document in the seed is wrong.
    #[error("the document in the seed is wrong, and is not used:\n{shown}")]
    Document {
        /// Everything that is wrong with it, for people.
        shown: String,
    },
    /// The machine cannot be given its name.
    #[error("the machine cannot be named `{name}`")]
    HostName {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// An interface of the seed is not there.
    #[error("there is no network interface `{name}`; there are {there}")]
    NoInterface {
        /// The name, or the address of the card.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// A program that is needed failed.
    #[error("`{command}` failed: {told}")]
    Failed {
        /// What was called.
        command: String,
        /// What it said.
        told: String,
    },
}

impl FirstBootError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::File { .. } => "see whether the disk is full or damaged",
            Self::TooLarge { .. } => {
                "make the seed smaller: documents of any size go through the admin API"
            }
            Self::Mount { .. } => {
                "write it once more: a seed as ISO 9660 or VFAT with the label `cidata`"
            }
            Self::Metadata { .. } => {
                "see whether the machine may read its metadata with a token (IMDSv2)"
            }
            Self::NotASeed(_) => {
                "write `#lbctl` on the first line, and a seed as docs/seed.md describes it"
            }
            Self::Seed { .. } | Self::Document { .. } => {
                "mend it, and start the machine with it once more"
            }
            Self::HostName { .. } => "run it as root",
            Self::NoInterface { .. } => {
                "name one of those, or give the address of the card as `mac`"
            }
            Self::Failed { .. } => "see what the console says above",
        }
    }
}
