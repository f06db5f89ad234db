//! What happens in a balancer, as it is told to whoever listens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Revision, Timestamp};
use crate::value::Name;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A revision came into force.
    Applied(Revision),
    /// A revision that waited for it was confirmed, and stays.
    Confirmed(Revision),
    /// Nobody confirmed a revision in time, and another one took its place.
    Reverted {
        /// The number of the revision that was not confirmed.
        unconfirmed: u64,
        /// The revision in force now.
        revision: Revision,
    },
    /// A change was refused.
    Refused {
        /// Who wanted it.
        author: String,
        /// Why not.
        reason: String,
    },
    /// A server came up.
    ServerUp {
        /// Its pool.
        pool: Name,
        /// Its name.
        server: Name,
    },
    /// A server went down.
    ServerDown {
        /// Its pool.
        pool: Name,
        /// Its name.
        server: Name,
    },
    /// The listener was too slow: this many events were left out before the next one.
    Missed(u64),
}

impl EventKind {
    /// The word for it, which is the name of the server-sent event.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Confirmed(_) => "confirmed",
            Self::Reverted { .. } => "reverted",
            Self::Refused { .. } => "refused",
            Self::ServerUp { .. } => "server_up",
            Self::ServerDown { .. } => "server_down",
            Self::Missed(_) => "missed",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        match &self.kind {
            EventKind::Applied(revision) => write_revision(f, revision),
            EventKind::Confirmed(revision) => {
                write!(f, "revision {} was confirmed", revision.number)
            }
            EventKind::Reverted {
                unconfirmed,
                revision,
            } => {
                write!(f, "revision {unconfirmed} was not confirmed; ")?;
                write_revision(f, revision)
            }
            EventKind::Refused { author, reason } => {
                write!(f, "a change by {author} was refused: {reason}")
            }
            EventKind::ServerUp { pool, server } => write!(f, "{pool}/{server} is up"),
            EventKind::ServerDown { pool, server } => write!(f, "{pool}/{server} is down"),
            EventKind::Missed(count) => write!(f, "{count} events were missed"),
        }
    }
}

fn write_revision(f: &mut fmt::Formatter<'_>, revision: &Revision) -> fmt::Result {
    let Revision {
        number,
        author,
        source,
        summary,
        ..
    } = revision;
    let source = source.as_str();
    write!(f, "revision {number} by {author} ({source}): {summary}")
}
