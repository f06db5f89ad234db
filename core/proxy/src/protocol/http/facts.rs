//! What becomes known about one exchange on its way, for the counters and the access log.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use lb_model::value::Name;
use tokio::time::Instant;

use super::Connection;
use super::codec::{BadMessage, FieldKind, RequestHead, Version};
use crate::pool::Reason;
use crate::stream::Stream;
use crate::telemetry::access_log::{AccessRecord, HttpRecord, ServerRecord, Times, TlsRecord};

/// A request that was understood.
pub(super) struct Request<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
    /// The client as rules, persistence and the access log see it.
    pub(super) client: IpAddr,
}

/// What is known about one exchange.
#[derive(Clone)]
pub(super) struct Facts<'a> {
    pub(super) started: Instant,
    pub(super) rule: Option<&'a Name>,
    pub(super) pool: Option<&'a Name>,
    pub(super) server: Option<ServerRecord<'a>>,
    pub(super) reason: Option<Reason>,
    /// The status that was sent to the client.
    pub(super) status: Option<u16>,
    pub(super) body_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) retries: u8,
    /// When it began to wait in a queue.
    pub(super) queued_since: Option<std::time::Instant>,
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
            queued_since: None,
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

    /// The same without what belongs to a configuration.
    pub(super) fn without_names(self) -> Facts<'static> {
        Facts {
            rule: None,
            pool: None,
            server: None,
            started: self.started,
            reason: self.reason,
            status: self.status,
            body_received: self.body_received,
            bytes_sent: self.bytes_sent,
            retries: self.retries,
            queued_since: self.queued_since,
            queued: self.queued,
            connect: self.connect,
            response: self.response,
            end: self.end,
            refused: self.refused,
        }
    }
}

impl<S: Stream> Connection<S> {
    /// Counts an exchange that has ended, and writes it to the access log.
    pub(super) fn finish(&mut self, request: Option<&Request<'_>>, facts: &Facts<'_>) {
        let counters = self.live.counters(self.worker.index);
        let class = usize::from(facts.status.unwrap_or(0) / 100);
        if let Some(counter) = counters.responses.get(class) {
            counter.add(1);
        }
        if facts.refused {
            counters.refused.add(1);
        }
        let head_bytes = request.map_or(0, |request| request.bytes.len() as u64);
        let bytes_received = head_bytes + facts.body_received;
        self.now = Instant::now();
        let duration = self.now.saturating_duration_since(facts.started);
        counters.bytes_received.add(bytes_received);
        counters.bytes_sent.add(facts.bytes_sent);
        counters.duration.record(duration);
        let Some(log) = self.worker.access_log() else {
            return;
        };
        let client = request.map_or(self.client.peer.ip(), |request| request.client);
        let now = SystemTime::now();
        log.write(&AccessRecord {
            time: now.checked_sub(duration).unwrap_or(now),
            client: SocketAddr::new(client, self.client.peer.port()),
            virtual_service: &self.live.state.name,
            rule: facts.rule,
            pool: facts.pool,
            server: facts.server,
            http: Some(http_record(request, facts.status)),
            tls: TlsRecord::of(self.client.stream.tls()),
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

fn http_record<'a>(request: Option<&Request<'a>>, status: Option<u16>) -> HttpRecord<'a> {
    let Some(request) = request else {
        return HttpRecord {
            status,
            ..HttpRecord::default()
        };
    };
    let (head, bytes) = (request.head, request.bytes);
    let field = |kind| head.fields.of(kind).next().map(|field| field.value(bytes));
    let authority = head.authority(bytes);
    HttpRecord {
        method: head.method(bytes),
        target: head.target(bytes),
        version: match head.version {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
            Version::Http2 => b"HTTP/2.0",
            Version::Http3 => b"HTTP/3.0",
        },
        host: (!authority.is_empty()).then_some(authority),
        referer: field(FieldKind::Referer),
        user_agent: field(FieldKind::UserAgent),
        status,
    }
}
