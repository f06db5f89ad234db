//! What becomes known about one exchange on its way, for the counters and the access log.

use std::net::SocketAddr;
use std::time::SystemTime;

use lb_model::value::Name;
use tokio::time::Instant;

use super::Connection;
use super::codec::{BadMessage, FieldKind, Version};
use super::exchange::Ask;
use crate::pool::{Reason, Server};
use crate::stream::Stream;
use crate::telemetry::access_log::{AccessRecord, HttpRecord, ServerRecord, Times};

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
    /// Counts an exchange that has ended, and writes it to the access log.
    pub(super) fn finish(&mut self, ask: Option<&Ask<'_>>, facts: &Facts<'_>) {
        let counters = self.service.counters(self.worker.index);
        let class = usize::from(facts.status.unwrap_or(0) / 100);
        if let Some(counter) = counters.responses.get(class) {
            counter.add(1);
        }
        if facts.refused {
            counters.refused.add(1);
        }
        let head_bytes = ask.map_or(0, |ask| ask.hop.bytes.len() as u64);
        let bytes_received = head_bytes + facts.body_received;
        self.now = Instant::now();
        let duration = self.now.saturating_duration_since(facts.started);
        counters.bytes_received.add(bytes_received);
        counters.bytes_sent.add(facts.bytes_sent);
        counters.duration.record(duration);
        let Some(log) = &self.worker.access_log else {
            return;
        };
        let client = ask.map_or(self.client.peer.ip(), |ask| ask.client);
        let now = SystemTime::now();
        log.write(&AccessRecord {
            time: now.checked_sub(duration).unwrap_or(now),
            client: SocketAddr::new(client, self.client.peer.port()),
            virtual_service: &self.service.service.name,
            rule: facts.rule,
            pool: facts.pool,
            server: facts.server.map(|server| ServerRecord {
                name: server.name(),
                address: server.address(),
            }),
            http: Some(http_record(ask, facts.status)),
            bytes_received,
            bytes_sent: facts.bytes_sent,
            times: Times {
                duration,
                queue: facts.queued,
                connect: facts.connect,
                response: facts.response,
            },
            retries: facts.retries,
            persistence: facts.reason.map(Reason::word),
            end: facts.end,
        });
    }
}

fn http_record<'a>(ask: Option<&Ask<'a>>, status: Option<u16>) -> HttpRecord<'a> {
    let Some(ask) = ask else {
        return HttpRecord {
            status,
            ..HttpRecord::default()
        };
    };
    let (head, bytes) = (ask.hop.head, ask.hop.bytes);
    let field = |kind| head.fields.of(kind).next().map(|field| field.value(bytes));
    let authority = head.authority(bytes);
    HttpRecord {
        method: head.method(bytes),
        target: head.target(bytes),
        version: match head.version {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
        },
        host: (!authority.is_empty()).then_some(authority),
        referer: field(FieldKind::Referer),
        user_agent: field(FieldKind::UserAgent),
        status,
    }
}
