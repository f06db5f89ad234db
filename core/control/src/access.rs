//! Who may come in: tokens, of which only digests are kept, and the one that makes the first of
//! them.
//!
//! A token is `lbctl_`, a secret of 256 bits and a checksum, so that scanners find one that was
//! published and a slip of the pen is not taken for a guess.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_model::api::{self, Role, Timestamp};
use lb_model::value::{Name, Period};
use serde::{Deserialize, Serialize};

use crate::audit::{Audit, AuditEntry, AuditError, NewEntry, Verified};
use crate::disk::{Disk, Machine, replace};
use crate::{Caller, Clock, Digest, Scope};

mod secret;

pub use secret::Secret;

/// What is kept, and the token that makes the first one, in the state directory.
const FILE: &str = "access.json";
const BOOTSTRAP_FILE: &str = "bootstrap-token";

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The most tokens: each is looked at whenever somebody comes in.
const TOKENS_MAX: usize = 1000;

/// How long the first token can be made.
const BOOTSTRAP_LIFETIME: Duration = Duration::from_mins(30);

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
        Self {
            name: token.name,
            role: token.role,
            made_at: token.made_at,
            expires_at: Some(token.expires_at),
        }
    }
}

/// A token of the API belongs to nobody else and has no narrower scope.
impl From<api::TokenRequest> for TokenRequest {
    fn from(request: api::TokenRequest) -> Self {
        Self {
            name: request.name,
            user: None,
            role: request.role,
            scope: Scope::default(),
            lifetime: request.lifetime,
        }
    }
}

/// Why access was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is a token with this name.
    #[error("there is a token `{0}` already")]
    Taken(Name),
    /// There is no token with this name.
    #[error("there is no token `{0}`")]
    Unknown(Name),
    /// There are too many.
    #[error("there are {TOKENS_MAX} tokens, which is the most")]
    TooMany,
    /// Its scope names what no document has.
    #[error("`{0}` is no kind of object")]
    Noun(String),
    /// The token that makes the first one is not this, was used, or is too old.
    #[error("this token cannot make the first one")]
    Bootstrap,
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random(#[source] io::Error),
    /// It could not be stored or read.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl AccessError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Taken(_) => "choose another name, or revoke it first".to_owned(),
            Self::Unknown(_) => "`lbctl token list` shows them".to_owned(),
            Self::TooMany => "revoke some that nobody uses".to_owned(),
            Self::Noun(_) => {
                let nouns = lb_model::schema::nouns().iter().map(|noun| noun.singular);
                format!("use {}", nouns.collect::<Vec<_>>().join(", "))
            }
            Self::Bootstrap => {
                "one is in `bootstrap-token` in the state directory after a start without tokens, \
                 for 30 minutes and one use"
                    .to_owned()
            }
            Self::Random(_) => "see what the kernel says: dmesg".to_owned(),
            Self::File { path, source } if source.kind() == io::ErrorKind::InvalidData => format!(
                "put it back from a backup, or begin without tokens: mv {0} {0}.damaged",
                path.display()
            ),
            Self::File { path, .. } => {
                format!(
                    "see who may write it and whether there is room: ls -l {0}; df -h {0}",
                    path.display()
                )
            }
            Self::Audit(error) => error.help(),
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

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bootstrap {
    sha256: Digest,
    expires_at: Timestamp,
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

    /// Whose token this is, if it is good. Every token is compared, each in constant time.
    pub fn identify(&self, text: &str) -> Option<Caller> {
        let sha256 = secret::digest(text)?;
        let now = (self.clock)();
        let mut kept = self.lock();
        let mut found = None;
        for token in &mut kept.tokens {
            if token.sha256 == sha256 {
                found = Some(&mut token.token);
            }
        }
        let token = found.filter(|token| token.expires_at > now)?;
        token.last_used_at = Some(now);
        let name = match &token.user {
            Some(user) => format!("{user}/{}", token.name),
            None => token.name.to_string(),
        };
        Some(Caller {
            name,
            role: token.role,
            scope: token.scope.clone(),
        })
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
        let mut kept = self.lock();
        let mut next = kept.clone();
        let made = self.add(&mut next, request)?;
        self.store(&next)?;
        *kept = next;
        drop(kept);
        self.note(author, "token_create", &made.0);
        Ok(made)
    }

    /// Ends a token at once.
    pub fn revoke(&self, name: &Name, author: &str) -> Result<Token, AccessError> {
        let mut kept = self.lock();
        let mut next = kept.clone();
        let at = next.tokens.iter().position(|kept| kept.token.name == *name);
        let at = at.ok_or_else(|| AccessError::Unknown(name.clone()))?;
        let KeptToken { token, .. } = next.tokens.remove(at);
        self.store(&next)?;
        *kept = next;
        drop(kept);
        self.note(author, "token_revoke", &token);
        Ok(token)
    }

    /// Makes the first token, which may do everything, with the one that was put into the state
    /// directory. That one dies with it.
    pub fn redeem(&self, bootstrap: &str, name: &Name) -> Result<(Token, Secret), AccessError> {
        let mut kept = self.lock();
        let now = (self.clock)();
        let good = |bootstrap: &Bootstrap, sha256| {
            let is_it = bootstrap.sha256 == sha256;
            is_it && bootstrap.expires_at > now
        };
        let sha256 = secret::digest(bootstrap);
        let fits = kept.bootstrap.as_ref().zip(sha256);
        if !fits.is_some_and(|(bootstrap, sha256)| good(bootstrap, sha256)) {
            let refused = AccessError::Bootstrap;
            self.audit
                .add_refusal("nobody", "bootstrap", &refused.to_string());
            return Err(refused);
        }
        let mut next = kept.clone();
        next.bootstrap = None;
        let request = TokenRequest {
            name: name.clone(),
            user: None,
            role: Role::Administer,
            scope: Scope::default(),
            lifetime: None,
        };
        let made = self.add(&mut next, &request)?;
        self.store(&next)?;
        *kept = next;
        drop(kept);
        self.remove_bootstrap_file();
        self.note("bootstrap", "token_create", &made.0);
        Ok(made)
    }

    /// Notes that somebody was refused.
    pub fn note_refusal(&self, caller: &Caller, what: &str, reason: &str) {
        let detail = format!("{what}: {reason}");
        self.audit.add_refusal(&caller.name, "request", &detail);
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
        if let Some(noun) = scope.unknown_nouns().next() {
            return Err(AccessError::Noun(noun.to_owned()));
        }
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

    fn renew_bootstrap(&self) -> Result<(), AccessError> {
        let mut kept = self.lock();
        let now = (self.clock)();
        let is_good = kept
            .bootstrap
            .as_ref()
            .is_some_and(|found| found.expires_at > now);
        if is_good {
            return Ok(());
        }
        self.remove_bootstrap_file();
        let had_one = kept.bootstrap.take().is_some();
        if kept.tokens.is_empty() {
            let secret = Secret::random().map_err(AccessError::Random)?;
            kept.bootstrap = Some(Bootstrap {
                sha256: secret.digest(),
                expires_at: after(now, BOOTSTRAP_LIFETIME),
            });
            self.store(&kept)?;
            let path = self.state_dir.join(BOOTSTRAP_FILE);
            let text = format!("{}\n", secret.expose());
            let written = replace(&*self.disk, &path, text.as_bytes());
            return written.map_err(|source| AccessError::File { path, source });
        }
        if had_one { self.store(&kept) } else { Ok(()) }
    }

    fn remove_bootstrap_file(&self) {
        let path = self.state_dir.join(BOOTSTRAP_FILE);
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "a token that is no longer good cannot be taken away");
            }
        }
    }

    fn store(&self, kept: &Kept) -> Result<(), AccessError> {
        let path = self.state_dir.join(FILE);
        // Keys are texts, so that nothing can fail.
        let json = serde_json::to_vec_pretty(kept).unwrap_or_default();
        let stored = replace(&*self.disk, &path, &json);
        stored.map_err(|source| AccessError::File { path, source })
    }

    fn note(&self, author: &str, action: &'static str, token: &Token) {
        let detail = format!(
            "{} ({}), until {}",
            token.name, token.role, token.expires_at
        );
        self.audit.add(&[NewEntry {
            author: author.to_owned(),
            action,
            detail: Some(detail),
            ..NewEntry::default()
        }]);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_unix_millis(time.unix_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests;
