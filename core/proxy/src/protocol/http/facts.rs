//! What becomes known about one exchange on its way, for the counters and the access log.

use lb_model::value::Name;
use tokio::time::Instant;

use super::Connection;
use super::codec::BadMessage;
use super::exchange::Ask;
use crate::connection::Stream;
use crate::pool::{Reason, Server};

/// What is known about one exchange.
pub(super) struct Facts<'a> {
    pub(super) started: Instant,
    pub(super) rule: Option<&'a Name>,
    pub(super) pool: Option<&'a Name>,
    pub(super) server: Option<&'a Server>,
    pub(super) reason: Option<Reason>,
    /// The status that was sent to the client.
    pub(super) status: Option<u16>,
    pub(super) body_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) retries: u8,
    pub(super) queued: Option<std::time::Duration>,
    pub(super) connect: Option<std::time::Duration>,
    pub(super) response: Option<std::time::Duration>,
    /// Why it ended, in one word.
    pub(super) end: &'static str,
    /// Whether the request was refused before its head was understood.
    pub(super) refused: bool,
}

impl Facts<'_> {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            rule: None,
            pool: None,
            server: None,
            reason: None,
            status: None,
            body_received: 0,
            bytes_sent: 0,
            retries: 0,
            queued: None,
            connect: None,
            response: None,
            end: "done",
            refused: false,
        }
    }

    pub(super) fn refused(started: Instant, message: BadMessage) -> Self {
        let end = if message.status == 408 {
            "client_slow"
        } else {
            "client_message"
        };
        Self {
            end,
            refused: true,
            ..Self::new(started)
        }
    }
}

impl<S: Stream> Connection<S> {
    /// Counts an exchange that has ended.
    pub(super) fn finish(&self, ask: Option<&Ask<'_>>, facts: &Facts<'_>) {
        let counters = self.service.counters(self.worker.index);
        let class = usize::from(facts.status.unwrap_or(0) / 100);
        if let Some(counter) = counters.responses.get(class) {
            counter.add(1);
        }
        if facts.refused {
            counters.refused.add(1);
        }
        let head_bytes = ask.map_or(0, |ask| ask.hop.bytes.len() as u64);
        counters
            .bytes_received
            .add(head_bytes + facts.body_received);
        counters.bytes_sent.add(facts.bytes_sent);
        counters.duration.record(facts.started.elapsed());
    }
}
