//! Why an authority has not issued a certificate, and what to do about it.

use std::time::Duration;

use instant_acme::Error;

use super::fetch::FetchError;
use crate::certificate::Unusable;

/// The longest text of an authority that is passed on, in characters.
const WORDS_MAX: usize = 500;
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Why there is no certificate from an authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// The document names an account or authority that is not there.
    #[error("{0}")]
    Document(String),
    /// The authority was not reached.
    #[error("the authority was not reached: {0}")]
    Fetch(#[from] FetchError),
    /// It says no.
    #[error("the authority refuses: {words}")]
    Refused {
        /// The last word of its kind, such as `rateLimited`.
        kind: String,
        /// What it said.
        words: String,
    },
    /// It has looked, and not found that a host is ours.
    #[error("the authority does not see that {host} is yours: {words}")]
    NotProved {
        /// The host.
        host: String,
        /// What it said.
        words: String,
        /// Where it looked.
        how: &'static str,
    },
    /// It does not offer what the document asks for.
    #[error("the authority does not offer {challenge} for {host}")]
    NoChallenge {
        /// The host.
        host: String,
        /// By its name in RFC 8555.
        challenge: &'static str,
    },
    /// It has not come to an end.
    #[error("the authority has not come to an end within {} s", .0.as_secs())]
    Slow(Duration),
    /// It does not answer as the protocol says.
    #[error("the authority does not answer as ACME says: {0}")]
    Protocol(String),
    /// A key for the outside account cannot be read.
    #[error("{place} cannot be used: {reason}")]
    Key {
        /// The file.
        place: String,
        /// Why.
        reason: String,
    },
    /// The program for DNS has failed.
    #[error("{program} {what}: {reason}")]
    Hook {
        /// The program.
        program: String,
        /// What it was asked for.
        what: &'static str,
        /// What became of it.
        reason: String,
    },
    /// What was issued cannot be used or kept.
    #[error("what the authority has issued cannot be used: {0}")]
    Unusable(#[from] Unusable),
    /// No key or request could be made.
    #[error("no request could be made: {0}")]
    Request(String),
}

impl From<rcgen::Error> for AcmeError {
    fn from(error: rcgen::Error) -> Self {
        Self::Request(error.to_string())
    }
}

impl From<Error> for AcmeError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what the library can say grows with its versions"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused {
                kind: kind(problem.r#type.as_deref()),
                words: words(&problem),
            },
            Error::Other(error) => match error.downcast::<FetchError>() {
                Ok(error) => Self::Fetch(*error),
                Err(error) => Self::Protocol(printable(&error.to_string())),
            },
            Error::Timeout(_) => Self::Slow(super::order::POLL_MAX),
            error => Self::Protocol(printable(&error.to_string())),
        }
    }
}

impl AcmeError {
    /// What to do.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Document(_) => "name one that the document has".to_owned(),
            Self::Fetch(_) => "see that the balancer reaches the `directory` of the account: curl -v URL; if its \
                               certificate is not trusted, name its `authority`"
                .to_owned(),
            Self::NotProved { how, .. } => (*how).to_owned(),
            Self::NoChallenge { .. } => "use another `challenge` for the certificate".to_owned(),
            Self::Refused { kind, .. } => match kind.as_str() {
                "rateLimited" => "wait: the authority counts how often it is asked, and says until when",
                "externalAccountRequired" => "get a key from the authority and name it in `external_account` of the account",
                "rejectedIdentifier" | "unsupportedIdentifier" => "give other `names`: the authority does not issue for these",
                "caa" => "allow the authority in the CAA records of the domain, or remove them",
                "badNonce" => "nothing: it is ordered again in a moment",
                "accountDoesNotExist" => "the account is made anew at the next attempt",
                _ => "these are the words of the authority; what it wants stands in its documentation",
            }
            .to_owned(),
            Self::Slow(_) => "nothing, if it goes well later; otherwise ask the authority".to_owned(),
            Self::Protocol(_) => "see that `directory` of the account is that of an ACME server (RFC 8555)".to_owned(),
            Self::Key { .. } => "write the key as the authority has given it, base64, into a file that the user of the balancer may read"
                .to_owned(),
            Self::Hook { .. } => "run the program by hand with the same words: PROGRAM present _acme-challenge.HOST VALUE"
                .to_owned(),
            Self::Unusable(error) => error.help(),
            Self::Request(_) => "give other `names`".to_owned(),
        }
    }

    /// Whether nothing is wrong, and it would have gone well a moment later (RFC 8555 section 6.5).
    pub(super) fn is_mishap(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "badNonce")
    }

    /// Whether the account that is kept is of no use any more.
    pub(super) fn ends_account(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "accountDoesNotExist")
    }
}

/// The last word of the kind of a problem.
fn kind(problem: Option<&str>) -> String {
    let kind = problem.unwrap_or_default();
    printable(kind.strip_prefix(PREFIX).unwrap_or(kind))
}

/// What an authority says, as one line.
pub(super) fn words(problem: &instant_acme::Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    for part in &problem.subproblems {
        if let Some(detail) = &part.detail {
            text.push_str("; ");
            text.push_str(detail);
        }
    }
    let kind = kind(problem.r#type.as_deref());
    if !kind.is_empty() {
        text.push_str(" (");
        text.push_str(&kind);
        text.push(')');
    }
    printable(text.trim())
}

/// Text from outside for a terminal and a log.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect()
}
