//! How slow a client or a server may be while a body moves. It is looked at when the deadline passes,
//! not for every piece of a body.

use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::transfer::{Side, Transfer};

/// Over how long the rate of a client is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// The patience with one direction of an exchange.
pub(super) struct Pace {
    client: Side,
    rate_min: u64,
    server_timeout: Duration,
    window_start: Instant,
    /// Bytes at the start of the window, and whether the client was waited for then.
    window_bytes: u64,
    window_waits_for_client: bool,
    seen_bytes: u64,
    quiet_since: Instant,
}

/// Who was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slow {
    Client,
    Server,
}

impl Pace {
    /// `client` is the side of the transfer on which the client is.
    pub(super) fn new(now: Instant, client: Side, rate_min: u32, server_timeout: Duration) -> Self {
        Self {
            client,
            rate_min: u64::from(rate_min),
            server_timeout,
            window_start: now,
            window_bytes: 0,
            window_waits_for_client: true,
            seen_bytes: 0,
            quiet_since: now,
        }
    }

    /// When to look next.
    pub(super) fn next(&self) -> Instant {
        (self.window_start + WINDOW).min(self.quiet_since + self.server_timeout)
    }

    /// Judges a transfer at the time that `next` has named.
    pub(super) fn look(&mut self, now: Instant, transfer: &Transfer) -> Option<Slow> {
        let bytes = transfer.body_bytes + transfer.sent_bytes;
        let waits_for_client = transfer.waits_for == self.client;
        if bytes != self.seen_bytes || waits_for_client {
            // The server is not to blame for what the client delays.
            self.seen_bytes = bytes;
            self.quiet_since = now;
        } else if now.saturating_duration_since(self.quiet_since) >= self.server_timeout {
            return Some(Slow::Server);
        }
        if now.saturating_duration_since(self.window_start) < WINDOW {
            return None;
        }
        // A client counts as slow only when it was waited for at both ends of the window: in
        // between, a slow server may have held it up.
        let moved = bytes.saturating_sub(self.window_bytes);
        let too_slow = waits_for_client
            && self.window_waits_for_client
            && self.rate_min > 0
            && moved < self.rate_min * WINDOW.as_secs();
        self.window_start = now;
        self.window_bytes = bytes;
        self.window_waits_for_client = waits_for_client;
        too_slow.then_some(Slow::Client)
    }
}
