//! A server that a request has, for as long as it has it.

use std::sync::Arc;

use lb_model::config::Balance;

use super::local::{self, LocalPool};
use super::{Outcome, PoolState, Server, ServerIndex, ServerState, now};
use crate::persistence::{Found, Record};
use crate::telemetry::ServerCounters;

/// Why a server was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No record of the client could be used: the algorithm chose.
    Balance(Balance),
    /// A record named the server.
    Persistence(Found),
    /// The client has a connection to the server that is its alone.
    Private,
}

impl Reason {
    /// One word for the access log.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Balance(_) => "balance",
            Self::Persistence(Found::Cookie) => "cookie",
            Self::Persistence(Found::PassiveCookie) => "passive_cookie",
            Self::Persistence(Found::Source) => "source",
            Self::Private => "private",
        }
    }
}

/// A server that a request has; dropped when the request has ended.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    pub(super) local: &'a LocalPool,
    pub(super) index: ServerIndex,
    pub(super) reason: Reason,
    /// What to remember once the server has taken the request.
    pub(super) record: Option<Box<Record>>,
}

impl<'a> Lease<'a> {
    /// The server.
    pub(crate) fn server(&self) -> &'a Server {
        self.local.pool().server(self.index)
    }

    /// Which one it is.
    pub(crate) const fn index(&self) -> ServerIndex {
        self.index
    }

    /// Why it was chosen.
    pub(crate) const fn reason(&self) -> Reason {
        self.reason
    }

    /// The whole `Set-Cookie` line, with its end, that the response needs so that the client comes
    /// back to this server; none when its cookie names it already.
    pub(crate) fn response_cookie(&self) -> Option<&'a [u8]> {
        match self.reason {
            Reason::Persistence(Found::Cookie) | Reason::Private => return None,
            Reason::Balance(_) | Reason::Persistence(_) => {}
        }
        self.server().set_cookie.as_deref()
    }

    /// The server took the request: from now on the client has a record of it.
    pub(crate) fn commit(&mut self) {
        let record = self.record.take();
        if let (Some(record), Some(persistence)) = (record, &self.local.pool().persistence) {
            persistence.remember(&record, self.server().tag, now());
        }
    }

    /// What is left of it for a connection that lives on without the pool's configuration.
    pub(crate) fn into_held(mut self) -> Held {
        self.commit();
        let held = Held {
            pool: Arc::clone(&self.local.pool().state),
            server: Arc::clone(&self.server().state),
            worker: self.local.worker(),
        };
        // The end of the request is now that of what was made of it.
        std::mem::forget(self);
        held
    }

    /// Notes what became of an attempt to use the server.
    pub(crate) fn report(&self, outcome: Outcome) {
        self.local.pool().report(self.index, outcome);
    }
}

/// A server that a connection has, whatever becomes of the configuration; dropped when it has ended.
#[derive(Debug)]
pub(crate) struct Held {
    pool: Arc<PoolState>,
    server: Arc<ServerState>,
    worker: usize,
}

impl Held {
    /// What this worker counts of the server.
    pub(crate) fn counters(&self) -> &ServerCounters {
        self.server.counters.of(self.worker)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        local::end(&self.pool, &self.server, self.worker);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.local.end(self.index);
    }
}
