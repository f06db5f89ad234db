//! Idle connections of one worker to one server.
//!
//! The one used last is used next: the others grow old and are closed, so a pool shrinks after a burst
//! by itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{ServerConnection, ServerSocket, Terms};

/// The idle connections to a server.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    list: RefCell<VecDeque<Idle>>,
}

/// How many connections are kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub(super) count_max: usize,
    pub(super) idle_timeout: Duration,
    pub(super) age_max: Duration,
    /// The TLS that connections are opened with; 0 for none.
    pub(super) tls: u64,
    /// Whether HTTP/2 is spoken.
    pub(super) http2: bool,
}

#[derive(Debug)]
pub(super) struct Idle {
    connection: ServerConnection<ServerSocket>,
    since: Instant,
}

impl IdleConnections {
    /// A connection on these terms that is believed to be open. Stale ones are closed on the way.
    pub(super) fn take(&self, terms: &Terms<'_>) -> Option<ServerConnection<ServerSocket>> {
        let mut list = self.list.borrow_mut();
        loop {
            let mut connection = if list.back()?.connection.fits(terms) {
                list.pop_back()?.connection
            } else {
                let fits = |idle: &Idle| idle.connection.fits(terms);
                let position = list.iter().rposition(fits)?;
                list.remove(position)?.connection
            };
            if !connection.is_stale() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, unless it is too old or there are enough.
    pub(super) fn put(
        &self,
        keeping: &Keeping,
        mut connection: ServerConnection<ServerSocket>,
        now: Instant,
    ) {
        let mut list = self.list.borrow_mut();
        let old = now.saturating_duration_since(connection.opened) >= keeping.age_max;
        // Bytes after the end of a response belong to no request: the server is confused.
        let clean = connection.buffer.is_empty();
        let same = connection.tls == keeping.tls;
        if connection.host.is_some() && list.len() >= keeping.count_max {
            // Those for other hosts must not keep the one out that is in use.
            list.pop_front();
        }
        if !old && clean && same && list.len() < keeping.count_max {
            connection.reused = true;
            list.push_back(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Closes what has been idle for too long, is too old, is too much, or was closed by its server.
    pub(super) fn sweep(&self, keeping: &Keeping, now: Instant) {
        let mut list = self.list.borrow_mut();
        let surplus = list.len().saturating_sub(keeping.count_max);
        drop(list.drain(..surplus));
        list.retain_mut(|idle| {
            idle.connection.tls == keeping.tls
                && now.saturating_duration_since(idle.since) < keeping.idle_timeout
                && now.saturating_duration_since(idle.connection.opened) < keeping.age_max
                && !idle.connection.is_stale()
        });
    }

    /// Gives all of them away.
    pub(super) fn take_all(&self) -> VecDeque<Idle> {
        self.list.take()
    }
}
