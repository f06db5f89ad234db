//! The token that makes the first one: it is in the state directory after a start without tokens,
//! and dies with its first use, with any other token that is made, or after half an hour. Whoever
//! makes the machine can choose it beforehand, and has then what shows them that this is the machine.

use std::io;
use std::time::Duration;

use aws_lc_rs::hmac;
use lb_model::api::{Enrolment, Role, Timestamp};
use lb_model::value::{Fingerprint, Name};
use serde::{Deserialize, Serialize};

use super::{Access, AccessError, Kept, Secret, Token, TokenRequest, after, secret};
use crate::disk::replace;
use crate::{Digest, Scope};

/// The file in the state directory.
const FILE: &str = "bootstrap-token";

/// The file in the state directory with a token that somebody chose; it is taken at a start.
const ENROLMENT_FILE: &str = "enrolment-token";

/// The largest such file.
const ENROLMENT_BYTES_MAX: u64 = 256;

/// How long the first token can be made.
const LIFETIME: Duration = Duration::from_mins(30);

/// What is kept of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bootstrap {
    sha256: Digest,
    expires_at: Timestamp,
    /// The key of proofs that this balancer has the token, which cannot be had from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof_key: Option<Digest>,
    /// Somebody put it into the state directory, who thus may do everything here: it makes a token also when
    /// there are others, so that whoever has lost theirs can come back.
    #[serde(default)]
    is_chosen: bool,
}

impl Bootstrap {
    /// What is kept of this token, if it could be one.
    fn of(text: &str, now: Timestamp, is_chosen: bool) -> Option<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let tag = hmac::sign(&key, Enrolment::KEY.as_bytes());
        Some(Self {
            sha256: secret::digest(text)?,
            expires_at: after(now, LIFETIME),
            proof_key: Digest::from_bytes(tag.as_ref()),
            is_chosen,
        })
    }

    fn is_good(&self, now: Timestamp, is_first: bool) -> bool {
        self.expires_at > now && (is_first || self.is_chosen)
    }
}

impl Access {
    /// Makes the first token, which may do everything, with the one that was put into the state
    /// directory. That one dies with it.
    pub fn redeem(
        &self,
        bootstrap: &str,
        name: &Name,
        author: &str,
    ) -> Result<(Token, Secret), AccessError> {
        let now = (self.clock)();
        let sha256 = secret::digest(bootstrap);
        let made = self.change(|next| {
            let fits = next.bootstrap.take().zip(sha256);
            let is_first = next.tokens.is_empty();
            let fits = fits
                .is_some_and(|(kept, sha256)| kept.sha256 == sha256 && kept.is_good(now, is_first));
            if !fits {
                return Err(AccessError::Bootstrap);
            }
            let request = TokenRequest {
                name: name.clone(),
                user: None,
                role: Role::Administer,
                scope: Scope::default(),
                lifetime: None,
            };
            self.add(next, &request)
        });
        let made = made.inspect_err(|refused| {
            self.audit
                .add_refusal(author, "bootstrap", &refused.to_string());
        })?;
        self.remove_bootstrap_file();
        self.note("bootstrap", "token_create", made.0.told());
        Ok(made)
    }

    /// What shows whoever has the token that makes the first one that this balancer has it, too, and that
    /// the certificate with this fingerprint is its own.
    ///
    /// # Errors
    /// There is no such token, or it is too old.
    pub fn prove(&self, fingerprint: &Fingerprint) -> Result<Enrolment, AccessError> {
        let now = (self.clock)();
        let kept = self.lock();
        let is_first = kept.tokens.is_empty();
        let good = kept.bootstrap.as_ref();
        let good = good.filter(|found| found.is_good(now, is_first));
        let key = good.and_then(|found| found.proof_key);
        let key = key.ok_or(AccessError::NoBootstrap)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let proof = Digest::from_bytes(hmac::sign(&key, fingerprint.bytes()).as_ref());
        let proof = proof.ok_or(AccessError::NoBootstrap)?.to_string();
        Ok(Enrolment { proof })
    }

    /// Takes the token that whoever made the machine has put into the state directory. It is good once, too: the
    /// file goes.
    fn take_enrolment(&self, kept: &mut Kept, now: Timestamp) -> Result<bool, AccessError> {
        let path = self.state_dir.join(ENROLMENT_FILE);
        let failed = |source| AccessError::File {
            path: path.clone(),
            source,
        };
        let text = match self.disk.read(&path, ENROLMENT_BYTES_MAX) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let bootstrap = Bootstrap::of(&text, now, true);
        let is_taken = bootstrap.is_some();
        if is_taken {
            kept.bootstrap = bootstrap;
            self.store(kept)?;
        } else {
            let path = path.display();
            tracing::warn!(%path, "this is not the text of a token: it is removed");
        }
        self.disk.remove(&path).map_err(failed)?;
        Ok(is_taken)
    }

    /// Puts a token to make the first one into the state directory, unless there is a good one, or
    /// nobody needs it.
    pub(super) fn renew_bootstrap(&self) -> Result<(), AccessError> {
        let mut kept = self.lock();
        let now = (self.clock)();
        if self.take_enrolment(&mut kept, now)? {
            self.remove_bootstrap_file();
            return Ok(());
        }
        let is_needed = kept.tokens.is_empty();
        let has_good_one = kept
            .bootstrap
            .as_ref()
            .is_some_and(|found| found.expires_at > now);
        if is_needed && has_good_one {
            return Ok(());
        }
        self.remove_bootstrap_file();
        let had_one = kept.bootstrap.take().is_some();
        if is_needed {
            return self.put_bootstrap(&mut kept, now);
        }
        if had_one { self.store(&kept) } else { Ok(()) }
    }

    fn put_bootstrap(&self, kept: &mut Kept, now: Timestamp) -> Result<(), AccessError> {
        let secret = Secret::random().map_err(AccessError::Random)?;
        kept.bootstrap = Bootstrap::of(secret.expose(), now, false);
        self.store(kept)?;
        let path = self.state_dir.join(FILE);
        let text = format!("{}\n", secret.expose());
        let written = replace(&*self.disk, &path, text.as_bytes());
        written.map_err(|source| AccessError::File { path, source })
    }

    pub(super) fn remove_bootstrap_file(&self) {
        let path = self.state_dir.join(FILE);
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "a token that is no longer good cannot be taken away");
            }
        }
    }
}
