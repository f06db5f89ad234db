//! What a balancer shall be, with everything read that the fleet names.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use lb_model::fleet::Balancer;
use lb_model::problem::{self, Problem};
use lb_model::value::{Fingerprint, Name};
use lb_model::{Config, Format, to_toml, validate};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::program::{Program, ProgramError, hex};

/// What a balancer shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: Name,
    /// What the fleet says of it.
    pub balancer: Balancer,
    /// The document that it shall serve.
    pub(crate) document: Option<Document>,
    /// The program that it shall run.
    pub(crate) program: WantedProgram,
    pub(crate) owner: Owner,
    /// How to talk to it, when whoever provisions has a token for it already.
    pub(crate) access: Option<Access>,
    /// Whoever provisions has done something to its machine before.
    pub(crate) is_recorded: bool,
}

impl Wanted {
    /// The document that a first start begins with: the one that is wanted; else, so that the balancer can be told
    /// one over the network, nothing but the address of its admin API.
    pub(crate) fn first_document(&self) -> Option<Cow<'_, Document>> {
        if let Some(document) = &self.document {
            return Some(Cow::Borrowed(document));
        }
        let address = self.balancer.admin_address()?;
        let mut config = Config::default();
        config.admin.address = Some(address);
        Some(Cow::Owned(Document::of(to_toml(&config))))
    }
}

/// Who a machine belongs to, as it is written on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    /// The fleet.
    pub(crate) fleet: Name,
    /// The balancer.
    pub(crate) balancer: Name,
    /// Which state of that fleet: two people with a copy of the fleet's document each must not both
    /// think that the machine is theirs.
    pub(crate) lineage: String,
}

impl Owner {
    /// As it is written on a machine.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which program a balancer shall run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WantedProgram {
    /// This one.
    This(Program),
    /// The one that it runs; this one when it runs none.
    AsItIs(Program),
}

/// A document as a machine gets it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) text: String,
    /// The SHA-256 of the text, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// Why what the fleet names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// The document of a balancer cannot be read.
    #[error("cannot read the document `{}` of {balancer}", path.display())]
    Read {
        /// The balancer.
        balancer: Name,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The document of a balancer is wrong.
    #[error("the document of {balancer} is wrong:\n{shown}")]
    Document {
        /// The balancer.
        balancer: Name,
        /// Everything that is wrong, for people.
        shown: String,
    },
    /// The program cannot be used.
    #[error("the program of {balancer} cannot be used")]
    Program {
        /// The balancer.
        balancer: Name,
        /// Why.
        source: ProgramError,
    },
}

impl WantedError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Read { path, .. } => format!(
                "paths are seen from the directory of the fleet's file; see who may read it: ls -l {}",
                path.display()
            ),
            Self::Document { .. } => "mend it; nothing was changed on any machine".to_owned(),
            Self::Program { source, .. } => source.help(),
        }
    }
}

impl Document {
    /// Reads a document, checks it, and puts the address of the admin API into it that the fleet gives.
    pub(crate) fn read(
        name: &Name,
        balancer: &Balancer,
        base: &Path,
    ) -> Result<Option<Self>, WantedError> {
        let Some(file) = &balancer.document else {
            return Ok(None);
        };
        let path = base.join(file);
        let text = fs::read_to_string(&path).map_err(|source| WantedError::Read {
            balancer: name.clone(),
            path: path.clone(),
            source,
        })?;
        let source = path.display().to_string();
        Self::checked(name, balancer, &text, Format::of_path(&path), &source).map(Some)
    }

    /// The same for a text that is in no file. One that begins with a brace is JSON.
    pub(crate) fn given(name: &Name, balancer: &Balancer, text: &str) -> Result<Self, WantedError> {
        let is_json = text.trim_start().starts_with('{');
        let format = if is_json { Format::Json } else { Format::Toml };
        Self::checked(name, balancer, text, format, "document")
    }

    fn checked(
        name: &Name,
        balancer: &Balancer,
        text: &str,
        format: Format,
        source: &str,
    ) -> Result<Self, WantedError> {
        let wrong = |problems: Vec<Problem>| WantedError::Document {
            balancer: name.clone(),
            shown: problem::render(&problems, source, Some(text)),
        };
        let valid = lb_model::read(text, format).map_err(wrong)?;
        let Some(address) = balancer.admin_address() else {
            // A machine reads its file as TOML.
            let text = match format {
                Format::Toml => text.to_owned(),
                Format::Json => to_toml(valid.config()),
            };
            return Ok(Self::of(text));
        };
        let mut config = valid.config().clone();
        config.admin.address = Some(address);
        let valid = validate(config).map_err(wrong)?;
        Ok(Self::of(to_toml(valid.config())))
    }

    /// A document of this text.
    pub(crate) fn of(text: String) -> Self {
        let sha256 = sha256(&text);
        Self { text, sha256 }
    }
}

/// The SHA-256 of a text, in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// How to talk to a balancer over the network.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Where its admin API is reached.
    pub address: SocketAddr,
    /// What says who we are. It is a secret.
    pub token: String,
    /// The certificate that it shows.
    pub fingerprint: Option<Fingerprint>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("address", &self.address)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
