//! The place for a seed in the image of a CD (ECMA-119): where it is, and what the image is with a seed in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use lb_model::seed::{CD_LABEL, SLOT, SLOT_FILE};

use super::error::RedfishError;
use crate::files::FilesError;

/// The size of a block of a CD.
const BLOCK: usize = 2048;

/// The largest image that is served.
const IMAGE_BYTES_MAX: u64 = 2 << 30;

/// The largest folder of a CD that is read.
const FOLDER_BYTES_MAX: usize = 1 << 20;

/// The image with this seed in its place.
pub(super) fn filled(path: &Path, seed: &str) -> Result<Vec<u8>, RedfishError> {
    let mut image = read(path)?;
    let wrong = |why: &str| not_ours(path, why);
    let (at, length) = find(&image).map_err(wrong)?;
    if seed.len() > length {
        return Err(wrong(&format!(
            "its place for a seed has {length} bytes, and the seed {}",
            seed.len()
        )));
    }
    let place = image
        .get_mut(at..at + length)
        .ok_or_else(|| wrong("it ends too soon"))?;
    place.fill(b' ');
    if let Some(begin) = place.get_mut(..seed.len()) {
        begin.copy_from_slice(seed.as_bytes());
    }
    Ok(image)
}

/// Whether a file is the image of such a CD.
pub(super) fn check(image: &[u8], path: &Path) -> Result<(), RedfishError> {
    find(image).map(drop).map_err(|why| not_ours(path, why))
}

fn not_ours(path: &Path, why: &str) -> RedfishError {
    RedfishError::Image {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// The whole image.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, RedfishError> {
    let failed = FilesError::of(path);
    let mut image = Vec::new();
    let file = File::open(path).map_err(&failed)?;
    // Half of an image would be installed as well as the whole.
    if file.metadata().map_err(&failed)?.len() > IMAGE_BYTES_MAX {
        let why = format!("it has more than {IMAGE_BYTES_MAX} bytes");
        return Err(not_ours(path, &why));
    }
    file.take(IMAGE_BYTES_MAX)
        .read_to_end(&mut image)
        .map_err(&failed)?;
    Ok(image)
}

/// Where the place is and how many bytes it has.
fn find(image: &[u8]) -> Result<(usize, usize), &'static str> {
    let descriptor = image.get(16 * BLOCK..17 * BLOCK).unwrap_or_default();
    let label = descriptor.get(40..72).unwrap_or_default();
    if descriptor.get(1..6) != Some(b"CD001") {
        return Err("it is no image of a CD");
    }
    if String::from_utf8_lossy(label).trim_end() != CD_LABEL {
        return Err("it has another label");
    }
    let none = "it has no place for a seed";
    let (at, length) = descriptor.get(156..).and_then(extent).ok_or(none)?;
    let folder = image
        .get(at..at + length.min(FOLDER_BYTES_MAX))
        .ok_or(none)?;
    let (at, length) = folder.chunks(BLOCK).find_map(in_block).ok_or(none)?;
    let place = image.get(at..at + length).ok_or("it ends too soon")?;
    if place.starts_with(SLOT.as_bytes()) {
        Ok((at, length))
    } else {
        Err("the place for a seed has one already, or that of a later version")
    }
}

/// The place, when its entry is in this block of the folder.
fn in_block(mut block: &[u8]) -> Option<(usize, usize)> {
    loop {
        let length = usize::from(*block.first()?);
        let entry = block.get(..length).filter(|entry| entry.len() > 33)?;
        let name = entry.get(33..33 + usize::from(entry[32]))?;
        if name.strip_suffix(b";1").unwrap_or(name) == SLOT_FILE.as_bytes() {
            return extent(entry);
        }
        block = block.get(length..)?;
    }
}

/// Where a file or a folder is, as its entry says (ECMA-119, 9.1).
fn extent(entry: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize| {
        let bytes = entry.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    Some((number(2)?.checked_mul(BLOCK)?, number(10)?))
}

#[cfg(test)]
mod tests;
