//! Who may come in: tokens, of which only digests are kept, and the one that makes the first of
//! them.
//!
//! A token is `lbctl_`, a secret of 256 bits and a checksum, so that scanners find one that was
//! published and a slip of the pen is not taken for a guess.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_model::api::{self, Role, Timestamp, User};
use lb_model::value::{Name, Period};
use serde::{Deserialize, Serialize};

use crate::audit::{Audit, AuditEntry, NewEntry, Verified};
use crate::disk::{Disk, Machine, replace};
use crate::{Caller, Clock, Digest, Scope};

mod bootstrap;
mod copy;
mod error;
mod secret;
mod user;

use bootstrap::Bootstrap;
pub use error::{AccessError, NotGood};
pub use secret::Secret;

/// What is kept, in the state directory.
const FILE: &str = "access.json";

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The most tokens: each is looked at whenever somebody comes in.
const TOKENS_MAX: usize = 1000;

/// The most users.
const USERS_MAX: usize = 1000;

/// How long a token is good when nobody says.
const LIFETIME_DEFAULT: Duration = Duration::from_hours(24 * 90);

/// The most entries of the audit that are read at a time.
const ENTRIES_MAX: usize = 1000;

/// A token, without its secret, which nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name.
    pub name: Name,
    /// Whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// What its bearer may do.
    pub role: Role,
    /// Where.
    #[serde(default)]
    pub scope: Scope,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it stops being good.
    pub expires_at: Timestamp,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Asks for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Its name.
    pub name: Name,
    /// Whom it belongs to.
    pub user: Option<Name>,
    /// What its bearer may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// How long it is good; 90 days when nobody says.
    pub lifetime: Option<Period>,
}

/// What the API tells of it.
impl From<Token> for api::Token {
    fn from(token: Token) -> Self {
        let Token {
            name,
            user,
            role,
            scope,
            made_at,
            expires_at,
            last_used_at,
        } = token;
        Self {
            name,
            user,
            role,
            scope,
            made_at,
            expires_at: Some(expires_at),
            last_used_at,
        }
    }
}

impl From<api::TokenRequest> for TokenRequest {
    fn from(request: api::TokenRequest) -> Self {
        let api::TokenRequest {
            name,
            user,
            role,
            scope,
            lifetime,
        } = request;
        Self {
            name,
            user,
            role,
            scope,
            lifetime,
        }
    }
}

/// Tokens, and the audit of who did what with them.
pub struct Access {
    disk: Arc<dyn Disk>,
    state_dir: PathBuf,
    clock: Clock,
    audit: Arc<Audit>,
    kept: Mutex<Kept>,
}

/// What is kept on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<User>,
    tokens: Vec<KeptToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bootstrap: Option<Bootstrap>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptToken {
    token: Token,
    sha256: Digest,
}

impl Access {
    /// Reads who may come in. When nobody has a token, a new token to make the first one is put into
    /// `bootstrap-token` in the state directory.
    pub fn open(state_dir: &Path, audit: Arc<Audit>, clock: Clock) -> Result<Self, AccessError> {
        let disk = Arc::new(Machine);
        let path = state_dir.join(FILE);
        let failed = |source| AccessError::File {
            path: path.clone(),
            source,
        };
        let kept = match disk.read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                // Its text could quote a digest.
                .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is damaged")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(failed(error)),
        };
        let access = Self {
            disk,
            state_dir: state_dir.to_owned(),
            clock,
            audit,
            kept: Mutex::new(kept),
        };
        access.renew_bootstrap()?;
        Ok(access)
    }

    /// Whose token this is. Every token is compared, each in constant time.
    pub fn identify(&self, text: &str) -> Result<Caller, NotGood> {
        let sha256 = secret::digest(text).ok_or(NotGood::Unknown)?;
        let now = (self.clock)();
        let mut kept = self.lock();
        let mut found = None;
        for (at, token) in kept.tokens.iter().enumerate() {
            if token.sha256 == sha256 {
                found = Some(at);
            }
        }
        let at = found.ok_or(NotGood::Unknown)?;
        let mut caller = kept.tokens[at].token.caller(now)?;
        if let Some(name) = &kept.tokens[at].token.user {
            let user = kept.user(name).ok_or(NotGood::Unknown)?;
            if user.disabled {
                return Err(NotGood::Disabled(name.clone()));
            }
            caller.role = caller.role.min(user.role);
            caller.scope = caller.scope.and(&user.scope);
        }
        kept.tokens[at].token.last_used_at = Some(now);
        Ok(caller)
    }

    /// Every token, also those that have expired.
    pub fn tokens(&self) -> Vec<Token> {
        let kept = self.lock();
        kept.tokens.iter().map(|kept| kept.token.clone()).collect()
    }

    /// Makes a token. Its secret is told this once.
    pub fn create(
        &self,
        request: &TokenRequest,
        author: &str,
    ) -> Result<(Token, Secret), AccessError> {
        let made = self.change(|next| {
            // Whoever can make one needs no way to make the first.
            next.bootstrap = None;
            self.add(next, request)
        })?;
        self.remove_bootstrap_file();
        self.note(author, "token_create", made.0.told());
        Ok(made)
    }

    /// Ends a token at once.
    pub fn revoke(&self, name: &Name, author: &str) -> Result<Token, AccessError> {
        let token = self.change(|next| {
            let at = next.tokens.iter().position(|kept| kept.token.name == *name);
            let at = at.ok_or_else(|| AccessError::Unknown(name.clone()))?;
            Ok(next.tokens.remove(at).token)
        })?;
        self.note(author, "token_revoke", token.told());
        Ok(token)
    }

    /// Notes that somebody was refused.
    pub fn note_refusal(&self, caller: &Caller, what: &str, reason: &str) {
        let detail = format!("{what}: {reason}");
        self.audit.add_refusal(&caller.name, "request", &detail);
    }

    /// Notes that somebody over the network sent a token that is not good.
    pub(crate) fn note_stranger(&self, address: IpAddr, reason: &str) {
        let author = format!("address {address}");
        self.audit.add_refusal(&author, "token", reason);
    }

    /// The newest entries of the audit, the newest first.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, AccessError> {
        Ok(self.audit.entries(ENTRIES_MAX)?)
    }

    /// Whether the audit is as it was written.
    pub fn verify_audit(&self) -> Result<Verified, AccessError> {
        Ok(self.audit.verify()?)
    }

    /// Stores when tokens were used last; that is not worth a write for each use.
    pub fn store_last_use(&self) -> Result<(), AccessError> {
        self.store(&self.lock())
    }

    fn add(&self, next: &mut Kept, request: &TokenRequest) -> Result<(Token, Secret), AccessError> {
        let TokenRequest {
            name,
            user,
            role,
            scope,
            lifetime,
        } = request.clone();
        if next.tokens.iter().any(|kept| kept.token.name == name) {
            return Err(AccessError::Taken(name));
        }
        if next.tokens.len() >= TOKENS_MAX {
            return Err(AccessError::TooMany);
        }
        user::known(&scope)?;
        next.check_user(user.as_ref(), role)?;
        let secret = Secret::random().map_err(AccessError::Random)?;
        let made_at = (self.clock)();
        let lifetime = lifetime.map_or(LIFETIME_DEFAULT, Period::duration);
        let token = Token {
            name,
            user,
            role,
            scope,
            made_at,
            expires_at: after(made_at, lifetime),
            last_used_at: None,
        };
        next.tokens.push(KeptToken {
            token: token.clone(),
            sha256: secret.digest(),
        });
        Ok((token, secret))
    }

    fn store(&self, kept: &Kept) -> Result<(), AccessError> {
        let path = self.state_dir.join(FILE);
        // Keys are texts, so that nothing can fail.
        let json = serde_json::to_vec_pretty(kept).unwrap_or_default();
        let stored = replace(&*self.disk, &path, &json);
        stored.map_err(|source| AccessError::File { path, source })
    }

    fn note(&self, author: &str, action: &'static str, detail: String) {
        self.audit.add(&[NewEntry {
            author: author.to_owned(),
            action,
            detail: Some(detail),
            ..NewEntry::default()
        }]);
    }

    /// Makes a change: all of it is stored, or nothing is changed.
    fn change<T>(
        &self,
        alter: impl FnOnce(&mut Kept) -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let mut kept = self.lock();
        let mut next = kept.clone();
        let made = alter(&mut next)?;
        self.store(&next)?;
        *kept = next;
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    /// Who bears it, if it is not too old.
    fn caller(&self, now: Timestamp) -> Result<Caller, NotGood> {
        if self.expires_at <= now {
            return Err(NotGood::Expired {
                name: self.name.clone(),
                at: self.expires_at,
            });
        }
        let name = match &self.user {
            Some(user) => format!("{user}/{}", self.name),
            None => self.name.to_string(),
        };
        Ok(Caller {
            name,
            role: self.role,
            scope: self.scope.clone(),
        })
    }

    /// It in a line of the audit.
    fn told(&self) -> String {
        let Self {
            name,
            user,
            role,
            expires_at,
            ..
        } = self;
        let user = user.as_ref().map(|user| format!(" of {user}"));
        let user = user.unwrap_or_default();
        format!("{name}{user} ({role}), until {expires_at}")
    }
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests;
