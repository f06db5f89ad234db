//! The token that makes the first one: it is in the state directory after a start without tokens,
//! and dies with its first use, with any other token that is made, or after half an hour.

use std::io;
use std::time::Duration;

use lb_model::api::{Role, Timestamp};
use lb_model::value::Name;
use serde::{Deserialize, Serialize};

use super::{Access, AccessError, Kept, Secret, Token, TokenRequest, after, secret};
use crate::disk::replace;
use crate::{Digest, Scope};

/// The file in the state directory.
const FILE: &str = "bootstrap-token";

/// How long the first token can be made.
const LIFETIME: Duration = Duration::from_mins(30);

/// What is kept of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bootstrap {
    sha256: Digest,
    expires_at: Timestamp,
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
            let fits = fits.is_some_and(|(kept, sha256)| {
                let is_it = kept.sha256 == sha256;
                is_it && kept.expires_at > now
            });
            if !fits || !next.tokens.is_empty() {
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

    /// Puts a token to make the first one into the state directory, unless there is a good one, or
    /// nobody needs it.
    pub(super) fn renew_bootstrap(&self) -> Result<(), AccessError> {
        let mut kept = self.lock();
        let now = (self.clock)();
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
        kept.bootstrap = Some(Bootstrap {
            sha256: secret.digest(),
            expires_at: after(now, LIFETIME),
        });
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
