//! Why somebody does not come in, and why it was not changed who may.

use std::io;
use std::path::PathBuf;

use lb_model::api::{Role, Timestamp};
use lb_model::value::Name;

use super::{TOKENS_MAX, USERS_MAX};
use crate::audit::AuditError;

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
    /// There is a user with this name.
    #[error("there is a user `{0}` already")]
    UserTaken(Name),
    /// There is no user with this name.
    #[error("there is no user `{0}`")]
    UnknownUser(Name),
    /// There are too many.
    #[error("there are {USERS_MAX} users, which is the most")]
    TooManyUsers,
    /// A token would do more than its user may.
    #[error("the user `{user}` has the role `{has}`, and no token of theirs can have `{wanted}`")]
    BeyondUser {
        /// Whose token it would be.
        user: Name,
        /// What they may do.
        has: Role,
        /// What the token should do.
        wanted: Role,
    },
    /// Its scope names what no document has.
    #[error("`{0}` is no kind of object")]
    Noun(String),
    /// A copy of users and tokens contradicts itself.
    #[error("these users and tokens cannot be taken: {0}")]
    Copy(String),
    /// The token that makes the first one is not this, was used, or is too old.
    #[error("this token cannot make the first one")]
    Bootstrap,
    /// There is no token that makes the first one, so that nothing can be proved with it.
    #[error("nobody can enrol here")]
    NoBootstrap,
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

/// Why a token does not let its bearer in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGood {
    /// Nobody has made it, or it was revoked.
    #[error("the token is not known")]
    Unknown,
    /// It is too old.
    #[error("the token `{name}` has expired at {at}")]
    Expired {
        /// Its name.
        name: Name,
        /// When it stopped being good.
        at: Timestamp,
    },
    /// Its user may do nothing now.
    #[error("the user `{0}` is disabled, and their tokens with them")]
    Disabled(Name),
    /// The certificate of a client names nobody.
    #[error("the certificate names nobody")]
    Nameless,
    /// The certificate of a client names somebody who is no user.
    #[error("the certificate is for `{0}`, who is no user")]
    NoUser(Name),
}

impl NotGood {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown => {
                "it was revoked, or is of another balancer; an administrator makes one with \
                 `lbctl token create`"
                    .to_owned()
            }
            Self::Expired { name, .. } => format!(
                "an administrator makes another one: lbctl token revoke {name}, then \
                 lbctl token create {name} --role ROLE"
            ),
            Self::Disabled(user) => {
                format!("an administrator can take that back: lbctl user enable {user}")
            }
            Self::Nameless => {
                "its common name (CN) has to be the name of a user: letters, digits, `-`, `_` and `.`"
                    .to_owned()
            }
            Self::NoUser(user) => {
                format!("an administrator makes the user: lbctl user add {user} --role ROLE")
            }
        }
    }
}

impl AccessError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::Taken(_) => "choose another name, or revoke it first".to_owned(),
            Self::Unknown(_) => "`lbctl token list` shows them".to_owned(),
            Self::TooMany => "revoke some that nobody uses".to_owned(),
            Self::UserTaken(name) => {
                format!("choose another name, or change it: lbctl user set {name} --role ROLE")
            }
            Self::UnknownUser(_) => {
                "`lbctl user list` shows them, `lbctl user add NAME --role ROLE` makes one"
                    .to_owned()
            }
            Self::TooManyUsers => "delete some who have left".to_owned(),
            Self::BeyondUser { user, has, wanted } => format!(
                "make the token with the role `{has}`, or let them do more: \
                 lbctl user set {user} --role {wanted}"
            ),
            Self::Noun(_) => {
                let nouns = lb_model::schema::nouns().iter().map(|noun| noun.singular);
                format!("use {}", nouns.collect::<Vec<_>>().join(", "))
            }
            Self::Copy(_) => "take them from a backup as `lbctl backup` wrote it".to_owned(),
            Self::Bootstrap | Self::NoBootstrap => {
                "one is in `bootstrap-token` in the state directory after a start without tokens, \
                 for 30 minutes and one use; on that machine root can also say \
                 `lbctl token create NAME --role administer`"
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
