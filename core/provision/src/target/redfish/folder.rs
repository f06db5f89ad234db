//! What is remembered of a machine: `machine.json` says whose it is and what was done, beside it are the tokens. It is
//! written before anything is done to the machine.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lb_model::fleet::RedfishTarget;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::RedfishError;
use crate::program::hex;
use crate::wanted::{Access, Owner, Wanted};

/// The largest file that is read whole.
const BYTES_MAX: u64 = 1 << 20;

/// Where machines are below the folder with the data of a user.
const MACHINES: &str = "lbctl/hardware";

/// A machine, whether anything was done to it or not.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
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

impl Place {
    pub(crate) fn new(
        target: &RedfishTarget,
        base: &Path,
        owner: &Owner,
    ) -> Result<Self, RedfishError> {
        let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
        let data = named("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(PathBuf::from(named("HOME")?).join(".local/share")));
        let data = data.ok_or(RedfishError::NoHome)?.join(MACHINES);
        Ok(Self {
            folder: data
                .join(owner.fleet.as_str())
                .join(owner.balancer.as_str()),
            image: base.join(&target.image),
            password: base.join(&target.password_file),
            target: target.clone(),
        })
    }

    /// The way to the controller. The password is read each time, as it may be changed meanwhile.
    pub(super) fn client(&self) -> Result<Client, RedfishError> {
        let read = fs::read_to_string(&self.password);
        let password = read.map_err(|source| RedfishError::File {
            path: self.password.clone(),
            source,
        })?;
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
    pub(super) fn access(&self, wanted: &Wanted) -> Result<Option<Access>, RedfishError> {
        let (Some(address), Some(token)) = (self.admin(wanted), self.read("token")?) else {
            return Ok(None);
        };
        let fingerprint = self.read("fingerprint")?;
        Ok(Some(Access {
            address,
            token: token.trim().to_owned(),
            fingerprint: fingerprint.and_then(|text| text.trim().parse().ok()),
        }))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// What is known of the machine; nothing when nothing was done to it.
    pub(super) fn kept(&self) -> Result<Option<Kept>, RedfishError> {
        let path = self.path("machine.json");
        let Some(text) = self.read("machine.json")? else {
            return Ok(None);
        };
        let kept = serde_json::from_str(&text);
        kept.map(Some).map_err(|error| RedfishError::Unreadable {
            path,
            why: error.to_string(),
        })
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), RedfishError> {
        let text = serde_json::to_string_pretty(kept).unwrap_or_default() + "\n";
        self.write("machine.json", text.as_bytes())
    }

    /// A small file; nothing when it is not there.
    pub(super) fn read(&self, file: &str) -> Result<Option<String>, RedfishError> {
        let path = self.path(file);
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RedfishError::File { path, source }),
        }
    }

    /// Writes a file for its owner alone, at once or not at all.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> Result<(), RedfishError> {
        let path = self.path(file);
        let written = || -> io::Result<()> {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&self.folder)?;
            let part = path.with_extension("part");
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut made = options.open(&part)?;
            made.write_all(content)?;
            made.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        written().map_err(|source| RedfishError::File {
            path: path.clone(),
            source,
        })
    }

    pub(super) fn remove(&self, file: &str) -> Result<(), RedfishError> {
        let path = self.path(file);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RedfishError::File { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Forgets the machine; whose it was comes last.
    pub(super) fn clear(&self) -> Result<(), RedfishError> {
        for file in ["enrolment-token", "token", "fingerprint", "machine.json"] {
            self.remove(file)?;
        }
        // Another file in there is none of ours.
        drop(fs::remove_dir(&self.folder));
        Ok(())
    }
}

pub(super) fn random() -> Result<[u8; 32], RedfishError> {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(RedfishError::Random)
}

/// A word that nobody guesses.
pub(super) fn secret() -> Result<String, RedfishError> {
    Ok(hex(&random()?).chars().take(32).collect())
}
