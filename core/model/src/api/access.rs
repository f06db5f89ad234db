//! Who may do what.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Scope, Timestamp};
use crate::nearest::did_you_mean;
use crate::value::{InvalidValue, Name, Period};

/// What somebody may do. Each role may also do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read configuration, status, metrics and events.
    View,
    /// Enable, drain and disable servers.
    Operate,
    /// Change the configuration, confirm changes and roll them back.
    Configure,
    /// Decide who may do what, and read the audit.
    Administer,
}

impl Role {
    /// Every role, the one with the fewest rights first.
    pub const ALL: [Self; 4] = [Self::View, Self::Operate, Self::Configure, Self::Administer];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Configure => "configure",
            Self::Administer => "administer",
        }
    }

    /// Whether somebody with this role may do what needs `needed`.
    pub fn may(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let mend = format!("{}{}", did_you_mean(text, names), names.join(", "));
            InvalidValue::new(format!("`{text}` is not a role"), mend)
        })
    }
}

/// Who the balancer takes the caller for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// A user of the machine, or the name of a token.
    pub name: String,
    /// What the caller may do.
    pub role: Role,
}

/// A token, without its secret, which nobody keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its name, which the history and the audit show.
    pub name: Name,
    /// Whom it belongs to, if anybody: it may do no more than they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// What its bearer may do.
    pub role: Role,
    /// Where.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it stops being good; one without stays good until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was used last, as far as that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// Every token there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Tokens by name.
    pub tokens: Vec<Token>,
}

/// Asks for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Its name, which the history and the audit show.
    pub name: Name,
    /// Whom it belongs to, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// What its bearer may do.
    pub role: Role,
    /// Where.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
    /// How long it is good; 90 days when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Period>,
}

/// Asks for the first token, with the one that was put into the state directory as the bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootstrapRequest {
    /// The name of the first token. Its bearer may do everything.
    pub name: Name,
}

/// What shows that the balancer with this certificate has the token that makes the first one, to whoever has
/// it, too, and to nobody else. It tells nothing about the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// HMAC-SHA256 (RFC 2104) in hexadecimal digits of the 32 bytes of the fingerprint of the certificate. Its key
    /// is the HMAC-SHA256 of `lbctl enrolment 1` with the token, as it is in the file, as the key.
    pub proof: String,
}

impl Enrolment {
    /// What the key of a proof is made of, together with the token.
    pub const KEY: &str = "lbctl enrolment 1";
}

/// Somebody who may have tokens. None of them may do more than their user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name, which the history and the audit show with that of the token.
    pub name: Name,
    /// The most that tokens of this user may do.
    pub role: Role,
    /// Where.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
    /// Whether no token of this user is good now.
    #[serde(default)]
    pub disabled: bool,
    /// When the user was made.
    pub made_at: Timestamp,
}

/// Every user there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Users in the order in which they were made.
    pub users: Vec<User>,
}

/// Asks for a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The name, which the history and the audit show with that of the token.
    pub name: Name,
    /// The most that tokens of this user may do.
    pub role: Role,
    /// Where.
    #[serde(default, skip_serializing_if = "Scope::is_everything")]
    pub scope: Scope,
}

/// What is to be different of a user; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The most that tokens of this user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Where, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Whether no token of this user is good any more, until this is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A token that has just been made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// What its bearer sends. It is shown this once: the balancer keeps only a hash of it.
    pub secret: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("token", &self.token)
            .field("secret", &"***")
            .finish()
    }
}

/// Everybody who may come in, as a backup has it: of secrets there are digests alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessCopy {
    /// Every user.
    pub users: Vec<User>,
    /// Every token.
    pub tokens: Vec<TokenCopy>,
}

/// A token, as a backup has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCopy {
    /// The token.
    pub token: Token,
    /// The SHA-256 of its secret, which cannot be had from it.
    pub sha256: String,
}
