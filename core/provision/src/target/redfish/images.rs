//! The images of a machine: the file that a fleet names may go or become another one, and somebody may want the one
//! before.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::RedfishError;
use super::folder::{Kept, Place};
use super::slot;
use crate::files::FilesError;
use crate::program::hex;

/// Where they are in the folder of a machine.
pub(super) const IMAGES: &str = "images";

/// The name of an image: the first sixteen digits of its digest.
pub(super) fn release(path: &Path) -> Result<String, RedfishError> {
    let image = slot::read(path)?;
    slot::check(&image, path)?;
    let digest = hex(&Sha256::digest(&image));
    Ok(digest.chars().take(16).collect())
}

/// The image of this name: kept from before, or from the file that the fleet names.
pub(super) fn keep(place: &Place, name: &str) -> Result<PathBuf, RedfishError> {
    let kept = place.folder.file(IMAGES).join(name);
    if kept.exists() {
        return Ok(kept);
    }
    place.folder.make(IMAGES)?;
    let part = kept.with_extension("part");
    fs::copy(&place.image, &part).map_err(FilesError::of(&kept))?;
    if release(&part)? != name {
        let why = format!("`{}` is another file now", place.image.display());
        return Err(RedfishError::Changed(why));
    }
    fs::rename(&part, &kept).map_err(FilesError::of(&kept))?;
    Ok(kept)
}

/// Removes images that nobody goes back to.
pub(super) fn prune(place: &Place, kept: &Kept) -> Result<(), FilesError> {
    let folder = place.folder.file(IMAGES);
    let failed = FilesError::of(&folder);
    for entry in fs::read_dir(&folder).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name();
        let is = |release: &String| name.to_str() == Some(release);
        if !is(&kept.release) && !kept.previous.as_ref().is_some_and(is) {
            fs::remove_file(entry.path()).map_err(&failed)?;
        }
    }
    Ok(())
}
