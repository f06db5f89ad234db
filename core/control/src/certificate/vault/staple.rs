//! What OCSP responders have said, each answer in a file of its own: it is signed, and no secret.

use std::io;
use std::path::PathBuf;

use lb_model::value::Name;

use super::{Unusable, Vault, place};
use crate::disk::{Disk, Machine, replace};
use crate::ocsp::ANSWER_BYTES_MAX;

/// The directory, beside the certificates.
const DIRECTORY: &str = "ocsp";
const ENDING: &str = "der";

impl Vault {
    /// What a responder has said of the certificate of this name, or of one before it.
    pub(crate) fn staple(&self, name: &Name) -> Option<Vec<u8>> {
        let read = Machine.read(&self.staple_path(name), ANSWER_BYTES_MAX as u64);
        match read {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(certificate = %name, %error, "what an OCSP responder has said cannot be read; it is asked again");
                None
            }
        }
    }

    /// Keeps what a responder has said, durably, in the place of what it said before.
    pub(crate) fn keep_staple(&self, name: &Name, answer: &[u8]) -> Result<(), Unusable> {
        let path = self.staple_path(name);
        let _writing = self.writing();
        let made = Machine.make_dir(&self.staples());
        let written = made.and_then(|()| replace(&Machine, &path, answer));
        written.map_err(|error| Unusable::File {
            place: place(&path),
            reason: error.to_string(),
        })
    }

    /// Keeps what a responder has said no longer; whether there was anything.
    pub(crate) fn drop_staple(&self, name: &Name) -> bool {
        Machine.remove(&self.staple_path(name)).is_ok()
    }

    /// Keeps what was said of no other certificates than these.
    pub(crate) fn keep_staples(&self, is_asked: impl Fn(&Name) -> bool) {
        for file in Machine.list(&self.staples()).unwrap_or_default() {
            let path = self.staples().join(file);
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let name = name.and_then(|name| name.parse().ok());
            if !name.is_some_and(|name| is_asked(&name)) {
                // It would be tried at the next change.
                drop(Machine.remove(&path));
            }
        }
    }

    /// The file of what a responder has said.
    pub(in crate::certificate) fn staple_path(&self, name: &Name) -> PathBuf {
        self.staples().join(format!("{name}.{ENDING}"))
    }

    fn staples(&self) -> PathBuf {
        self.directory.join(DIRECTORY)
    }
}
