//! The CD of the appliance, or a stick with the same on it. It has a place for the seed of one machine, which whoever
//! serves the CD may have filled, and what is installed on disks.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lb_model::seed::{CD_LABEL, SLOT, SLOT_FILE};
use sha2::{Digest, Sha256};

use crate::block::{self, FileSystem};
use crate::error::FirstBootError;
use crate::nocloud::mounted;
use crate::source::BYTES_MAX;

/// The largest file system to start from that is taken from a CD.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

/// What is installed on disks, as the CD has it, and its sum.
const IMAGE: &str = "boot.img";
const SUM: &str = "boot.sum";

/// The CD that is there.
pub(crate) fn now() -> Option<PathBuf> {
    block::labelled(CD_LABEL, &[FileSystem::Iso9660]).map(|(device, _)| device)
}

/// The seed that was put into its place; nothing when the place is empty.
pub(crate) fn seed(device: &Path) -> Result<Option<String>, FirstBootError> {
    // The CD has the long names of Linux, in small letters.
    let name = SLOT_FILE.to_ascii_lowercase();
    let bytes = mounted(device, FileSystem::Iso9660, true, |folder| {
        read(&folder.join(&name), BYTES_MAX)
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches([' ', '\0', '\n']);
    let is_empty = text.is_empty() || text.starts_with(SLOT);
    Ok((!is_empty).then(|| format!("{text}\n")))
}

/// What is installed; nothing when it is not what its sum says.
pub(crate) fn image(device: &Path) -> Result<Option<Vec<u8>>, FirstBootError> {
    mounted(device, FileSystem::Iso9660, true, |folder| {
        let image = read(&folder.join(IMAGE), IMAGE_BYTES_MAX)?;
        let sum = read(&folder.join(SUM), 1024)?;
        let sum = String::from_utf8_lossy(&sum);
        let is_whole = sum.split_whitespace().next() == Some(&digest(&image));
        Ok(is_whole.then_some(image))
    })
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    crate::state::hex(&Sha256::digest(bytes))
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FirstBootError> {
    let failed = |source: io::Error| FirstBootError::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        let path = path.to_owned();
        return Err(FirstBootError::TooLarge { path, limit });
    }
    Ok(bytes)
}
