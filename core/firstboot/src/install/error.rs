//! Why a machine is not installed, and what to do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::error::FirstBootError;

/// Why a machine is not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The seed, or a file system, cannot be used.
    #[error(transparent)]
    FirstBoot(#[from] FirstBootError),
    /// The CD that this has started from is not seen.
    #[error("the CD that this machine has started from does not come up")]
    NoMedium,
    /// The CD is not whole.
    #[error("the CD in `{}` is damaged: its sum is another one", .0.display())]
    DamagedMedium(PathBuf),
    /// There is no disk to install on.
    #[error("there is no disk to install on; there are: {0}")]
    NoDisk(String),
    /// There is more than one.
    #[error("there are several disks, and none is named: {0}")]
    SeveralDisks(String),
    /// The disk that is named is not there.
    #[error("there is no disk `{name}`; there are: {there}")]
    NoSuchDisk {
        /// The name.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// The name may mean another disk than whoever wrote it has meant.
    #[error("`{name}` does not tell for sure which disk: {there}; nothing was written")]
    Ambiguous {
        /// The name.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// The disk that is named cannot be used.
    #[error("the disk {disk} cannot be installed on: {why}")]
    Unfit {
        /// The disk.
        disk: String,
        /// Why.
        why: String,
    },
    /// The disk holds something else.
    #[error("the disk {disk} holds {what}; nothing was written")]
    Occupied {
        /// The disk.
        disk: String,
        /// What.
        what: String,
    },
    /// The disk has the balancer of somebody else.
    #[error("the disk {disk} has the balancer of somebody else, {owner}; nothing was written")]
    OtherOwner {
        /// The disk.
        disk: String,
        /// Who.
        owner: String,
    },
    /// The partition to start from is too small for this version.
    #[error("the disk {disk} has {has} for what it starts from, and {needs} are needed")]
    NoRoom {
        /// The disk.
        disk: String,
        /// What there is.
        has: String,
        /// What is needed.
        needs: String,
    },
    /// The disk fails.
    #[error("the disk {disk} cannot be {what}")]
    Disk {
        /// The disk.
        disk: String,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The disk gives back something else than was written.
    #[error("the disk {0} gives back something else than was written to it")]
    Differs(String),
    /// The kernel does not see the partitions.
    #[error("the partitions of the disk {0} do not come up")]
    NoPartition(String),
    /// A program failed.
    #[error("`{program}` failed on {}: {told}", device.display())]
    Failed {
        /// The program.
        program: String,
        /// The device.
        device: PathBuf,
        /// What it said.
        told: String,
    },
}

impl InstallError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::FirstBoot(error) => error.help(),
            Self::NoMedium => {
                "make the CD with `packer/appliance/build --kernel hardware`, which has the drivers of servers"
            }
            Self::DamagedMedium(_) => "write the CD or the stick once more",
            Self::NoDisk(_) => {
                "see whether the disk is connected and its controller known; one on USB must be named with `disk`"
            }
            Self::SeveralDisks(_) => {
                "name the one to install on with `disk`, by its serial number or its WWN"
            }
            Self::Ambiguous { .. } => {
                "name the disk by its serial number or its WWN: Linux gives its names in another order at another start"
            }
            Self::NoSuchDisk { .. } => "name one of those with `disk`",
            Self::Unfit { .. } => "name another one with `disk`",
            Self::Occupied { .. } => {
                "say `wipe = true` when it may go, or name another disk with `disk`"
            }
            Self::OtherOwner { .. } => {
                "see whether it is the right machine; when it shall be yours: `lbctl provision adopt`, or `adopt = true` \
                 in the seed"
            }
            Self::NoRoom { .. } => {
                "save what it remembers with `lbctl backup`, erase the disk, install, and restore"
            }
            Self::Disk { .. } | Self::Differs(_) => "the disk may be damaged: try another one",
            Self::NoPartition(_) | Self::Failed { .. } => "start the machine from the CD again",
        }
    }

    /// The error with its causes and what to do, in one text.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text.extend([": ", &cause.to_string()]);
            source = cause.source();
        }
        format!("{text}\nhelp: {}", self.help())
    }
}
