//! Idle connections of one worker to the servers of one pool.
//!
//! The one used last is used next: the others grow old and are closed, so a pool shrinks after a burst
//! by itself.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ServerConnection;

/// The idle connections to each server, by its position in the pool.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    servers: Box<[RefCell<VecDeque<Idle>>]>,
    count_max: usize,
    idle_timeout: Duration,
    age_max: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: ServerConnection,
    since: Instant,
}

impl IdleConnections {
    pub(crate) fn new(
        servers: usize,
        count_max: usize,
        idle_timeout: Duration,
        age_max: Duration,
    ) -> Self {
        let servers = (0..servers).map(|_| RefCell::default()).collect();
        Self {
            servers,
            count_max,
            idle_timeout,
            age_max,
        }
    }

    /// A connection that is believed to be open. Stale ones are closed on the way.
    pub(crate) fn take(&self, server: usize) -> Option<ServerConnection> {
        let mut list = self.servers.get(server)?.borrow_mut();
        loop {
            let connection = list.pop_back()?.connection;
            if !connection.is_stale() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose last exchange is complete, unless it is too old or there are enough.
    pub(crate) fn put(&self, server: usize, mut connection: ServerConnection, now: Instant) {
        let Some(list) = self.servers.get(server) else {
            return;
        };
        let mut list = list.borrow_mut();
        let old = now.saturating_duration_since(connection.opened) >= self.age_max;
        // Bytes after the end of a response belong to no request: the server is confused.
        let clean = connection.buffer.is_empty();
        if !old && clean && list.len() < self.count_max {
            connection.reused = true;
            list.push_back(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Closes what has been idle for too long, is too old, or was closed by its server.
    pub(crate) fn sweep(&self, now: Instant) {
        for list in &self.servers {
            list.borrow_mut().retain(|idle| {
                now.saturating_duration_since(idle.since) < self.idle_timeout
                    && now.saturating_duration_since(idle.connection.opened) < self.age_max
                    && !idle.connection.is_stale()
            });
        }
    }

    /// Whether connections are kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.count_max > 0
    }
}
