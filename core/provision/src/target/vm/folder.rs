//! The folder with everything of a machine, and what `machine.json` in it says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lb_model::fleet::{Firmware, Forward, VmTarget};
use lb_model::seed::Interface;
use lb_model::value::{HostAddress, InterfaceName, Name};
use serde::{Deserialize, Serialize};

use super::error::VmError;
use crate::files::{self, FilesError, Folder, MACHINE};
use crate::program::hex;
use crate::wanted::Owner;

/// Where the files of machines are below the folder with the data of a user.
const MACHINES: &str = "lbctl/machines";

/// A virtual machine, whether it is there or not.
#[derive(Debug)]
pub(crate) struct Place {
    /// Everything of it.
    pub(super) folder: Folder,
    /// The image that it shall have.
    pub(super) image: PathBuf,
    pub(super) target: VmTarget,
}

/// What `machine.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) owner: Owner,
    /// What the machine takes for a new beginning when it changes.
    pub(super) instance: String,
    /// Everything that a start needs is there.
    pub(super) is_made: bool,
    #[serde(flatten)]
    pub(super) shape: Shape,
    /// The image before the one in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
}

/// What a machine is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// The image, by the first sixteen digits of its SHA-256.
    pub(super) release: String,
    pub(super) memory_mib: u32,
    pub(super) processors: u16,
    pub(super) firmware: Firmware,
    pub(super) forwards: Vec<Forward>,
    #[serde(default)]
    pub(super) bridges: Vec<InterfaceName>,
    #[serde(default)]
    pub(super) network: BTreeMap<Name, Interface>,
    /// Where the balancer is reached, when it is on a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<HostAddress>,
}

impl Shape {
    /// The one that the fleet wants, of this image.
    pub(super) fn of(target: &VmTarget, release: String) -> Self {
        Self {
            release,
            memory_mib: target.memory_mib,
            processors: target.processors,
            firmware: target.firmware,
            forwards: target.forwards.clone(),
            bridges: target.bridges.clone(),
            network: target.network.clone(),
            address: target.address,
        }
    }
}

impl Place {
    /// A machine whose files are below the data of the user who provisions.
    pub(crate) fn new(target: &VmTarget, base: &Path, owner: &Owner) -> Result<Self, VmError> {
        Ok(Self {
            folder: Folder::of(MACHINES, owner)?,
            image: base.join(&target.image),
            target: target.clone(),
        })
    }

    pub(super) fn image_of(&self, release: &str) -> PathBuf {
        self.folder.file("images").join(release)
    }

    /// What is known of the machine; nothing when there is none.
    pub(super) fn kept(&self) -> Result<Option<Kept>, FilesError> {
        self.folder.kept()
    }

    /// Removes everything of the machine, what says whose it is at the end.
    pub(super) fn clear(&self) -> Result<(), FilesError> {
        let failed = FilesError::of;
        let folder = self.folder.path();
        let found = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(failed(folder))?,
        };
        for entry in found {
            let path = entry.map_err(failed(folder))?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(failed(&path))?;
            } else if !path.ends_with(MACHINE) {
                // QEMU takes its socket away by itself.
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(failed(&path))?,
                }
            }
        }
        self.folder.remove(MACHINE)?;
        fs::remove_dir(folder).map_err(failed(folder))
    }
}

/// A name for a beginning that there was never before.
pub(super) fn instance() -> Result<String, FilesError> {
    Ok(hex(&files::random::<8>()?))
}
