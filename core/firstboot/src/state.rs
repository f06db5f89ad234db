//! What a balancer begins with, and the memory of what it was given already.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::Path;

use lb_model::seed::Seed;
use lb_model::{Config, Format, problem, to_toml, validate};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Report;
use crate::error::FirstBootError;
use crate::source::Found;

const DOCUMENT: &str = "lb.toml";
const TOKEN: &str = "enrolment-token";
const MEMORY: &str = "firstboot.json";

/// The seed that the installer leaves with the state.
pub(crate) const SEED: &str = "seed";

/// What was given already.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    /// Which machine it was: a copy of its disk is another one.
    instance: String,
    /// The SHA-256 of the user data.
    seed: String,
    /// The SHA-256 of the document as it was written.
    document: String,
}

/// Puts what a balancer begins with into its state directory, unless it has been there for this seed.
pub(crate) fn put(
    dir: &Path,
    found: Option<&Found>,
    seed: Option<&Seed>,
    report: &mut Report,
) -> Result<(), FirstBootError> {
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let remembered = remembered(dir);
    let (Some(found), Some(seed)) = (found, seed) else {
        return begin_empty(dir);
    };
    let counts = found.lasting.as_ref().or(found.user_data.as_ref());
    let now = Memory {
        instance: found.instance.clone(),
        seed: sha256(counts.map_or("", String::as_str)),
        document: remembered.document.clone(),
    };
    // A token that stands there was not given yet.
    if now == remembered && found.lasting.is_none() {
        return Ok(());
    }
    let written = document(dir, seed, &remembered, report)?;
    if let Some(token) = &seed.admin.enrolment_token {
        write(dir, TOKEN, token)?;
        report.did("whoever has the token of the seed can administer it, for 30 minutes");
    }
    let document = written.unwrap_or(remembered.document);
    let text = serde_json::to_string(&Memory { document, ..now }).unwrap_or_default();
    write(dir, MEMORY, &text)?;
    match &found.lasting {
        Some(lasting) => write(dir, SEED, lasting),
        None => Ok(()),
    }
}

/// A balancer does not start without a document; an empty one is one.
fn begin_empty(dir: &Path) -> Result<(), FirstBootError> {
    if dir.join(DOCUMENT).exists() {
        return Ok(());
    }
    write(dir, DOCUMENT, "")
}

/// Writes the document of the seed, unless somebody has changed the file since. Gives the digest of what
/// was written.
fn document(
    dir: &Path,
    seed: &Seed,
    remembered: &Memory,
    report: &mut Report,
) -> Result<Option<String>, FirstBootError> {
    let present = fs::read_to_string(dir.join(DOCUMENT)).unwrap_or_default();
    // A seed that says nothing of it, such as one with another network, takes nothing away.
    if seed.document.is_none() && !present.is_empty() {
        return Ok(None);
    }
    let text = match of_seed(seed) {
        Ok(text) => text,
        Err(error) => {
            report.errors.push(error);
            begin_empty(dir)?;
            return Ok(None);
        }
    };
    if !present.is_empty() && sha256(&present) != remembered.document {
        report.did("its document was changed since, and stays as it is");
        return Ok(None);
    }
    write(dir, DOCUMENT, &text)?;
    report.did("its document is that of the seed");
    Ok(Some(sha256(&text)))
}

/// The document of the seed, with the address of the admin API.
fn of_seed(seed: &Seed) -> Result<String, FirstBootError> {
    let text = seed.document.as_deref().unwrap_or_default();
    let wrong = |problems: Vec<problem::Problem>| FirstBootError::Document {
        shown: problem::render(&problems, "document", Some(text)),
    };
    let valid = lb_model::read(text, Format::Toml).map_err(wrong)?;
    let Some(address) = seed
        .admin
        .address
        .filter(|_| valid.config().admin.address.is_none())
    else {
        return Ok(text.to_owned());
    };
    let mut config: Config = valid.config().clone();
    config.admin.address = Some(address);
    Ok(to_toml(validate(config).map_err(wrong)?.config()))
}

fn remembered(dir: &Path) -> Memory {
    let mut text = String::new();
    let read =
        File::open(dir.join(MEMORY)).and_then(|file| file.take(1 << 16).read_to_string(&mut text));
    // What cannot be read was not given: a seed that is put in place once more does no harm.
    read.ok()
        .and_then(|_| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Writes a file at once or not at all, for the user to whom the state directory belongs.
pub(crate) fn write(dir: &Path, file: &str, content: &str) -> Result<(), FirstBootError> {
    let path = dir.join(file);
    let part = path.with_extension("part");
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut made = options.open(&part)?;
        made.write_all(content.as_bytes())?;
        made.sync_all()?;
        let owner = fs::metadata(dir)?;
        chown(&part, Some(owner.uid()), Some(owner.gid()))?;
        fs::rename(&part, &path)?;
        File::open(dir)?.sync_all()
    };
    written().map_err(failed(&path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FirstBootError {
    let path = path.to_owned();
    move |source| FirstBootError::File {
        path: path.clone(),
        source,
    }
}

fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
