//! Why a request was not done, or why nobody knows whether it was.

use std::io;
use std::time::Duration;

use lb_model::Problem;
use lb_model::api::{ApiError, ErrorCode};

use crate::address::Address;
use crate::tls::{Distrust, TrustError};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers at the address. Nothing was sent.
    #[error("no balancer answers at `{address}`")]
    Connect {
        /// The address that was tried.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// What answers does not show that it is the balancer that is meant. Nothing was sent.
    #[error("what answers at `{address}` is not trusted")]
    Distrusted {
        /// The address.
        address: Address,
        /// Why.
        source: Distrust,
    },
    /// The connection broke before the whole answer was there.
    #[error("the connection to the balancer at `{address}` broke")]
    Lost {
        /// The address.
        address: Address,
        /// Whether a change may have been made all the same.
        may_be_done: bool,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The answer did not come in time.
    #[error("the balancer at `{address}` did not answer within {} s", after.as_secs())]
    TimedOut {
        /// The address.
        address: Address,
        /// Whether a change may have been made all the same.
        may_be_done: bool,
        /// How long it was waited for.
        after: Duration,
    },
    /// The balancer said no. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// Nobody can be trusted. Nothing was sent.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No request can be made of this. Nothing was sent.
    #[error("`{0}` cannot be sent in a request")]
    Unspeakable(String),
    /// The answer is not one of this API.
    #[error("what answers at `{address}` is not an lbctl of this version: {reason}")]
    NotOurs {
        /// The address.
        address: Address,
        /// What was wrong with the answer.
        reason: String,
    },
}

/// What a balancer answers when it does not do what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", error.message)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// What went wrong, and what to do.
    pub error: ApiError,
}

impl ClientError {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Connect { address, source } => Some(connect_help(address, source.kind())),
            Self::Distrusted { source, .. } => Some(source.help()),
            Self::Lost { may_be_done, .. } | Self::TimedOut { may_be_done, .. } => may_be_done
                .then(|| {
                    "the change may have been made all the same: see `lbctl history`".to_owned()
                }),
            Self::Refused(refusal) if !refusal.error.problems.is_empty() => {
                Some("nothing has changed; each problem says what to do".to_owned())
            }
            Self::Refused(refusal) => refusal.error.help.clone(),
            Self::Trust(error) => Some(error.help()),
            Self::Unspeakable(_) => Some("leave out what is not a printed character".to_owned()),
            Self::NotOurs { .. } => Some("see whether the address is right: -b ADDRESS".to_owned()),
        }
    }

    /// What kind of refusal it was, if it was one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.error.code),
            Self::Connect { .. }
            | Self::Distrusted { .. }
            | Self::Lost { .. }
            | Self::TimedOut { .. }
            | Self::Trust(_)
            | Self::Unspeakable(_)
            | Self::NotOurs { .. } => None,
        }
    }

    /// What is wrong with the document that was sent.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Refused(refusal) => &refusal.error.problems,
            Self::Connect { .. }
            | Self::Distrusted { .. }
            | Self::Lost { .. }
            | Self::TimedOut { .. }
            | Self::Trust(_)
            | Self::Unspeakable(_)
            | Self::NotOurs { .. } => &[],
        }
    }
}

fn connect_help(address: &Address, kind: io::ErrorKind) -> String {
    let path = match address {
        Address::Unix(path) => path.display(),
        Address::Tls { .. } => return network_help(kind),
    };
    if kind == io::ErrorKind::PermissionDenied {
        format!("its owner and root may use it; see: ls -l {path}")
    } else if kind == io::ErrorKind::ConnectionRefused {
        "the balancer that made this socket has ended: start it with `lbctl run`".to_owned()
    } else {
        "start a balancer with `lbctl run`, or name the socket of one that runs: \
         -b unix:DIR/admin.sock, where DIR is its state directory"
            .to_owned()
    }
}

fn network_help(kind: io::ErrorKind) -> String {
    if kind == io::ErrorKind::ConnectionRefused {
        "nothing listens there: the document of the balancer needs `admin.address`, and `lbctl status` \
         on its machine shows it"
    } else if kind == io::ErrorKind::InvalidData {
        "something else than the admin API answers there; `lbctl status` on the machine of the \
         balancer shows its address"
    } else {
        "see whether the name and the port are right, and whether a firewall is in between"
    }
    .to_owned()
}
