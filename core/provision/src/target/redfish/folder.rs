//! What is remembered of a machine: `machine.json` says whose it is and what was done, beside it are the tokens. It is
//! written before anything is done to the machine.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lb_model::fleet::RedfishTarget;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::RedfishError;
use super::images::IMAGES;
use crate::files::{self, FilesError, Folder, MACHINE};
use crate::program::hex;
use crate::wanted::{Access, Owner, Wanted};

/// Where machines are below the folder with the data of a user.
const MACHINES: &str = "lbctl/hardware";

/// A machine, whether anything was done to it or not.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) folder: Folder,
    /// The image that it shall have.
    pub(super) image: PathBuf,
    password: PathBuf,
    pub(super) target: RedfishTarget,
}

/// What `machine.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) owner: Owner,
    /// What was done.
    pub(super) stage: Stage,
    /// The image that it has, by the first sixteen digits of its SHA-256; none before it has any.
    pub(super) release: String,
    /// The image before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
    /// Whoever had it before may be replaced.
    #[serde(default)]
    pub(super) adopts: bool,
}

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// It is ours, and its disk is not.
    Claimed,
    /// The installer was started, and nobody knows whether it has ended.
    Installing,
    /// The disk has the image.
    Installed,
    /// It has started from its disk.
    Started,
}

impl Kept {
    /// The same with this image on its disk.
    pub(super) fn with(self, release: &str) -> Self {
        let is_another = !self.release.is_empty() && self.release != release;
        let previous = if is_another {
            Some(self.release)
        } else {
            self.previous
        };
        Self {
            stage: Stage::Installed,
            release: release.to_owned(),
            previous,
            adopts: false,
            ..self
        }
    }
}

impl Place {
    pub(crate) fn new(
        target: &RedfishTarget,
        base: &Path,
        owner: &Owner,
    ) -> Result<Self, RedfishError> {
        Ok(Self {
            folder: Folder::of(MACHINES, owner)?,
            image: base.join(&target.image),
            password: base.join(&target.password_file),
            target: target.clone(),
        })
    }

    /// The way to the controller. The password is read each time, as it may be changed meanwhile.
    pub(super) fn client(&self) -> Result<Client, RedfishError> {
        let read = fs::read_to_string(&self.password);
        let password = read.map_err(FilesError::of(&self.password))?;
        let password = password.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(RedfishError::NoPassword(self.password.clone()));
        }
        Client::new(&self.target, password)
    }

    /// Where the admin API of the machine is reached from here.
    pub(super) fn admin(&self, wanted: &Wanted) -> Option<SocketAddr> {
        let port = wanted.balancer.admin_address()?.socket_addr().port();
        Some(SocketAddr::new(self.target.address.ip(), port))
    }

    /// How to talk to the balancer: as it is kept here, so that a state that is lost loses no machine.
    pub(super) fn access(&self, wanted: &Wanted) -> Result<Option<Access>, FilesError> {
        let (Some(address), Some(token)) = (self.admin(wanted), self.folder.read("token")?) else {
            return Ok(None);
        };
        let fingerprint = self.folder.read("fingerprint")?;
        Ok(Some(Access {
            address,
            token: token.trim().to_owned(),
            fingerprint: fingerprint.and_then(|text| text.trim().parse().ok()),
        }))
    }

    /// What is known of the machine; nothing when nothing was done to it.
    pub(super) fn kept(&self) -> Result<Option<Kept>, FilesError> {
        self.folder.kept()
    }

    /// Forgets the machine; whose it was comes last.
    pub(super) fn clear(&self) -> Result<(), FilesError> {
        let images = self.folder.file(IMAGES);
        match fs::remove_dir_all(&images) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FilesError::of(&images)(error));
            }
            Ok(()) | Err(_) => {}
        }
        for file in ["enrolment-token", "token", "fingerprint", MACHINE] {
            self.folder.remove(file)?;
        }
        // Another file in there is none of ours.
        drop(fs::remove_dir(self.folder.path()));
        Ok(())
    }
}

/// A word that nobody guesses.
pub(super) fn secret() -> Result<String, FilesError> {
    Ok(hex(&files::random::<16>()?))
}
