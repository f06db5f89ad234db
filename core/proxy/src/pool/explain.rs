//! Where a request would go, and why: the decision of a request without its consequences.

use lb_model::value::Name;

use super::lease::Reason;
use super::local::{Draw, LocalPool, Place};
use super::server::{Access, Closed};
use super::{ClientKey, ServerIndex, Tried};
use crate::balance::Cursor;
use crate::persistence::{Access as Use, Found};

/// Where a request would go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// The server, unless there is none or it would have to wait.
    pub(crate) server: Option<Name>,
    /// Why, in a phrase.
    pub(crate) reason: String,
    /// Every server of the pool.
    pub(crate) candidates: Vec<CandidateNote>,
}

/// What a server is for the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CandidateNote {
    /// The server.
    pub(crate) name: Name,
    /// Why a client that has no server could not get it; nothing when it could.
    pub(crate) why_not: Option<&'static str>,
}

impl LocalPool {
    /// Where a request would go now, and why. Nothing is counted, remembered or kept alive by it.
    pub(crate) fn explain(&self, key: &ClientKey<'_>) -> Explained {
        let tried = Tried::default();
        let random = self.random().clone();
        let pinned = self.pinned(key, &tried, Use::Peek);
        let queue = self
            .pool()
            .limited
            .then(|| self.pool().state.limiter.lock());
        let draw = Draw {
            cursor: Cursor::Peek(&self.pool().state.turn),
            random: &random,
            slots: queue.as_ref().map(|queue| &queue.slots),
        };
        let place = self.place(pinned, key, &tried, &draw);
        let candidates = self.pool().servers().iter().enumerate();
        Explained {
            server: match place {
                Place::At(index, _) => Some(self.pool().server(index).name().clone()),
                Place::Full(_) | Place::Nowhere => None,
            },
            reason: self.reason(place, key),
            candidates: candidates
                .map(|(position, server)| {
                    let index = ServerIndex::new(position);
                    let full = draw
                        .slots
                        .is_some_and(|slots| !slots.is_free(server.state.id));
                    CandidateNote {
                        name: server.name().clone(),
                        why_not: self
                            .why_not(index)
                            .or(full.then_some("at its connections_max")),
                    }
                })
                .collect(),
        }
    }

    fn reason(&self, place: Place, key: &ClientKey<'_>) -> String {
        let remembered = |found| match found {
            Found::Cookie => "the persistence cookie names it",
            Found::PassiveCookie => "the value of the session cookie is remembered with it",
            Found::Source => "the client address is remembered with it",
        };
        match place {
            Place::At(_, Reason::Persistence(found)) => remembered(found).to_owned(),
            Place::At(_, Reason::Private) => {
                "the client has a connection of its own to it".to_owned()
            }
            Place::At(_, Reason::Balance(balance)) => {
                let balance = serde_json::to_value(balance).unwrap_or_default();
                let balance = balance.as_str().unwrap_or_default();
                match (&self.pool().persistence, key.cookie) {
                    (None, _) => format!("no persistence; chosen by {balance}"),
                    (Some(_), None) => format!("no record of the client; chosen by {balance}"),
                    (Some(_), Some(_)) => {
                        format!("no usable record of the client; chosen by {balance}")
                    }
                }
            }
            Place::Full(Some((index, found))) => format!(
                "waits for {}: {}, but it is at its connections_max",
                self.pool().server(index).name(),
                remembered(found)
            ),
            Place::Full(None) => {
                "waits in the queue: every available server is at its connections_max".to_owned()
            }
            Place::Nowhere => "no server is available".to_owned(),
        }
    }

    fn why_not(&self, index: ServerIndex) -> Option<&'static str> {
        match self.access(index) {
            Access::Open => None,
            Access::KnownOnly(closed) | Access::Nobody(closed) => Some(match closed {
                Closed::Disabled => "disabled",
                Closed::Down => "down by its health check",
                Closed::DrainTimeout => "drained",
                Closed::Draining => "draining",
                Closed::Ejected => "ejected after failures",
                Closed::WeightZero => "weight 0",
            }),
        }
    }
}
