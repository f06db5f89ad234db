//! The folder with everything of a machine, and what `machine.json` in it says.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lb_model::fleet::{Firmware, Forward, VmTarget};
use lb_model::seed::Interface;
use lb_model::value::{HostAddress, InterfaceName, Name};
use serde::{Deserialize, Serialize};

use super::error::VmError;
use crate::program::hex;
use crate::wanted::Owner;

/// The largest file of a machine that is read whole.
const BYTES_MAX: u64 = 1 << 20;

/// Where the files of machines are below the folder with the data of a user.
const MACHINES: &str = "lbctl/machines";

/// A virtual machine, whether it is there or not.
#[derive(Debug)]
pub(crate) struct Place {
    /// Everything of it.
    pub(super) folder: PathBuf,
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
        let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let data = named("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(PathBuf::from(named("HOME")?).join(".local/share")));
        let data = data.ok_or(VmError::NoHome)?.join(MACHINES);
        let folder = data
            .join(owner.fleet.as_str())
            .join(owner.balancer.as_str());
        Ok(Self {
            folder,
            image: base.join(&target.image),
            target: target.clone(),
        })
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(super) fn image_of(&self, release: &str) -> PathBuf {
        self.folder.join("images").join(release)
    }

    /// What is known of the machine; nothing when there is none.
    pub(super) fn kept(&self) -> Result<Option<Kept>, VmError> {
        let path = self.path("machine.json");
        let Some(text) = self.read("machine.json")? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text);
        kept.map(Some).map_err(|error| VmError::Unreadable {
            path,
            why: error.to_string(),
        })
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), VmError> {
        let text = serde_json::to_string_pretty(kept).unwrap_or_default() + "\n";
        self.write("machine.json", text.as_bytes())
    }

    /// A small file; nothing when it is not there.
    pub(super) fn read(&self, file: &str) -> Result<Option<String>, VmError> {
        let path = self.path(file);
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(VmError::File { path, source }),
        }
    }

    /// Writes a file for its owner alone, at once or not at all.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> Result<(), VmError> {
        let path = self.path(file);
        write(&path, content).map_err(|source| VmError::File { path, source })
    }

    /// Makes the folders that are missing, for their owner alone.
    pub(super) fn make(&self) -> Result<(), VmError> {
        let path = self.path("images");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| VmError::File { path, source })
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, file: &str) -> Result<(), VmError> {
        let path = self.path(file);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(VmError::File { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes everything of the machine, what says whose it is at the end.
    pub(super) fn clear(&self) -> Result<(), VmError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| VmError::File { path, source }
        };
        let found = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(failed(&self.folder))?,
        };
        for entry in found {
            let path = entry.map_err(failed(&self.folder))?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(failed(&path))?;
            } else if !path.ends_with("machine.json") {
                // QEMU takes its socket away by itself.
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(failed(&path))?,
                }
            }
        }
        self.remove("machine.json")?;
        fs::remove_dir(&self.folder).map_err(failed(&self.folder))
    }
}

/// Random digits.
pub(super) fn random<const N: usize>() -> Result<[u8; N], VmError> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(VmError::Random)?;
    Ok(bytes)
}

/// A name for a beginning that there was never before.
pub(super) fn instance() -> Result<String, VmError> {
    Ok(hex(&random::<8>()?))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true);
    let mut file = options.mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)
}
