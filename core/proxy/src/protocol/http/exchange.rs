//! One request and its response: decide, reach a server, send, relay, and account for it.

use std::net::IpAddr;

use lb_model::config::PrivateConnections;
use tokio::time::Instant;

use super::codec::{BadMessage, RequestHead};
use super::facts::{Facts, Request};
use super::respond::{self, Answer};
use super::send::{ResponseSlot, Upload};
use super::write::{self, RequestContext};
use super::{After, Connection, Scratch};
use crate::error::ProxyError;
use crate::http2::session;
use crate::policy::forwarded::{self, Hop};
use crate::policy::header::Edits;
use crate::pool::{ClientKey, Outcome, Tried};
use crate::route::{Asked, Decision, Destination};
use crate::snapshot::{LocalService, OnUnavailable, Security};
use crate::stream::Stream;
use crate::tls::Speak;
use crate::upstream::{ServerConnection, Terms, Upstream};

use super::reach::Reached;

/// A request with everything that was found out about it before a server is chosen.
pub(super) struct Ask<'a> {
    pub(super) service: &'a LocalService,
    pub(super) hop: Hop<'a>,
    /// The client as rules, persistence and the access log see it.
    pub(super) client: IpAddr,
    pub(super) decision: Decision<'a>,
}

/// A request on its way to one pool.
pub(super) struct Forward<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) key: ClientKey<'a>,
    pub(super) upstream: &'a Upstream,
}

impl<'a> Forward<'a> {
    /// How the servers of the pool are spoken with for this request. What binds something to a
    /// connection cannot share one.
    pub(super) fn terms(&self, tried: &Tried, private: bool) -> Terms<'a> {
        let pool = self.upstream.local.pool();
        let alone = private || self.ask.hop.head.upgrade || tried.avoids_http2();
        let speak = if alone { Speak::Http1 } else { pool.speak() };
        let host = || {
            let host = self.ask.hop.head.host(self.ask.hop.bytes);
            std::str::from_utf8(host)
                .ok()
                .filter(|host| !host.is_empty())
        };
        Terms::of(pool, speak, host)
    }
}

/// Memory for the parts of an exchange that are written.
pub(super) struct Memory<'m> {
    pub(super) response: ResponseSlot<'m>,
    pub(super) to_server: &'m mut Vec<u8>,
    pub(super) to_client: &'m mut Vec<u8>,
}

impl<'m> Memory<'m> {
    fn of(scratch: &'m mut Scratch) -> Self {
        let response = ResponseSlot {
            head: &mut scratch.response,
            bytes: &mut scratch.response_bytes,
        };
        Self {
            response,
            to_server: &mut scratch.to_server,
            to_client: &mut scratch.to_client,
        }
    }
}

impl<'a> Ask<'a> {
    fn new(
        service: &'a LocalService,
        head: &'a RequestHead,
        bytes: &'a [u8],
        (peer, port, scheme): (IpAddr, u16, &'static str),
    ) -> Self {
        let policy = &service.service.forwarded;
        let trusted = !policy.trusted.is_empty() && forwarded::is_trusted(policy, peer);
        let hop = Hop {
            head,
            bytes,
            peer,
            trusted,
            port,
            scheme,
        };
        let client = forwarded::client(policy, &hop);
        let decision = service.routes.decide(&Asked {
            head,
            bytes,
            client,
        });
        Self {
            service,
            hop,
            client,
            decision,
        }
    }
}

impl<'a> Forward<'a> {
    fn new(ask: &'a Ask<'a>, position: usize) -> Option<Self> {
        let upstream: &Upstream = ask.service.pools.get(position)?;
        let name = upstream.local.pool().cookie_name();
        let cookie = name.and_then(|name| ask.hop.head.cookie(ask.hop.bytes, name));
        Some(Self {
            ask,
            key: ClientKey {
                client: ask.client,
                cookie,
            },
            upstream,
        })
    }
}

impl<S: Stream> Connection<S> {
    /// Serves the request whose head is in `scratch`.
    pub(super) async fn exchange(&mut self, scratch: &mut Scratch, started: Instant) -> After {
        // Moved out, so that the rest of the memory can be written while these are looked at.
        let mut head = std::mem::take(&mut scratch.request);
        let mut bytes = std::mem::take(&mut scratch.request_bytes);
        let (peer, port) = (self.client.peer.ip(), self.client.local.port());
        let secure = self.client.stream.tls().is_some();
        let scheme = if secure { "https" } else { "http" };
        let mut queued_since = None;
        let after = loop {
            // The configuration in force: what the request meets from here on is of one piece.
            let service = self.live.current();
            if self.served != Some(service.service.id) {
                self.served = Some(service.service.id);
                let policy = &service.service.forwarded;
                self.forwarded = forwarded::constant(policy, peer, port, scheme);
            }
            let ask = Ask::new(&service, &head, &bytes, (peer, port, scheme));
            let mut facts = Facts::new(started);
            facts.rule = ask.decision.rule;
            facts.queued_since = queued_since;
            if let Some(after) = self.dispatch(&ask, scratch, &mut facts).await {
                if after != After::Tunnel {
                    let request = Request {
                        head: &head,
                        bytes: &bytes,
                        client: ask.client,
                    };
                    self.finish(Some(&request), &facts);
                }
                break after;
            }
            queued_since = facts.queued_since;
        };
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.keep_request(&mut head, &mut bytes);
        }
        scratch.request = head;
        scratch.request_bytes = bytes;
        after
    }

    /// Takes the request where the rules say, and to the replacement when no server is available.
    /// Nothing when the configuration changed before anything became of it.
    async fn dispatch<'a>(
        &mut self,
        ask: &'a Ask<'a>,
        scratch: &mut Scratch,
        facts: &mut Facts<'a>,
    ) -> Option<After> {
        let path = ask.hop.head.path(ask.hop.bytes);
        if let Some(text) = self.worker.challenges.to_http(path) {
            return Some(self.answer_challenge(ask, &text, scratch, facts).await);
        }
        if matches!(ask.service.service.security, Security::Redirect) {
            return Some(self.answer_https(ask, scratch, facts).await);
        }
        let mut destination = ask.decision.destination;
        let mut replaced = false;
        loop {
            let forward = match destination {
                Destination::Pool(position) => Forward::new(ask, *position),
                Destination::Redirect(_) | Destination::Respond(_) | Destination::Nowhere => None,
            };
            let Some(forward) = forward else {
                let answer = self.answer_destination(ask, destination, scratch, facts);
                return Some(answer.await);
            };
            facts.pool = Some(forward.upstream.local.pool().name());
            let error = match self.forward(&forward, scratch, facts).await {
                Ok(after) => return Some(after),
                Err(ProxyError::Superseded) => return None,
                Err(error) => error,
            };
            facts.end = error.word();
            if matches!(error, ProxyError::Http11Required) {
                self.client.stream.require_http11();
            }
            if facts.status.is_some() {
                // The client has part of a response: only the end of the connection tells it.
                return Some(After::Close);
            }
            if matches!(error, ProxyError::Unavailable) && !replaced {
                replaced = true;
                ask.service.counters(self.worker.index).unavailable.add(1);
                match &ask.service.service.unavailable {
                    OnUnavailable::Answer(other) => {
                        destination = other;
                        continue;
                    }
                    OnUnavailable::Close => return Some(After::Close),
                    OnUnavailable::Refuse => {}
                }
            }
            return Some(self.answer_error(ask, &error, scratch, facts).await);
        }
    }

    async fn answer_destination(
        &mut self,
        ask: &Ask<'_>,
        destination: &Destination,
        scratch: &mut Scratch,
        facts: &mut Facts<'_>,
    ) -> After {
        let answer = match destination {
            Destination::Redirect(redirect) => Answer::redirect(redirect, &ask.hop),
            Destination::Respond(response) => Answer::fixed(response),
            Destination::Nowhere | Destination::Pool(_) => {
                Answer::text(404, "404 Not Found: no rule is for this request.\n")
            }
        };
        let edits = &ask.decision.response_edits;
        self.answer(
            ask.hop.head,
            ask.hop.bytes,
            &answer,
            edits,
            &mut scratch.to_client,
            facts,
        )
        .await
    }

    /// Sends the client to https of the same place.
    async fn answer_https(
        &mut self,
        ask: &Ask<'_>,
        scratch: &mut Scratch,
        facts: &mut Facts<'_>,
    ) -> After {
        let (head, bytes) = (ask.hop.head, ask.hop.bytes);
        let answer = Answer::https(head, bytes);
        let edits = Edits::default();
        self.answer(head, bytes, &answer, &edits, &mut scratch.to_client, facts)
            .await
    }

    /// Shows an authority that the host is ours.
    async fn answer_challenge(
        &mut self,
        ask: &Ask<'_>,
        text: &str,
        scratch: &mut Scratch,
        facts: &mut Facts<'_>,
    ) -> After {
        let (head, bytes, edits) = (ask.hop.head, ask.hop.bytes, Edits::default());
        let answer = Answer::text(200, text);
        self.answer(head, bytes, &answer, &edits, &mut scratch.to_client, facts)
            .await
    }

    async fn answer_error(
        &mut self,
        ask: &Ask<'_>,
        error: &ProxyError,
        scratch: &mut Scratch,
        facts: &mut Facts<'_>,
    ) -> After {
        let Some(status) = error.status() else {
            return After::Close;
        };
        if let ProxyError::ClientMessage(BadMessage { reason, .. }) = error {
            tracing::debug!(reason, "a request body is refused");
        }
        let body = format!("{status} {}: {error}.\n", respond::reason(status));
        let answer = Answer::text(status, &body);
        let (head, bytes, edits) = (ask.hop.head, ask.hop.bytes, Edits::default());
        self.answer(head, bytes, &answer, &edits, &mut scratch.to_client, facts)
            .await
    }

    /// Sends the request to a server of a pool, to another one when that is safe, and relays the
    /// response.
    async fn forward<'a>(
        &mut self,
        forward: &Forward<'a>,
        scratch: &mut Scratch,
        facts: &mut Facts<'a>,
    ) -> Result<After, ProxyError> {
        let (head, bytes) = (forward.ask.hop.head, forward.ask.hop.bytes);
        if head.version.has_streams() {
            // Its frames have been checked, and a client may wait for a response before it sends any.
            forbid_windows_auth(head.windows_auth, forward)?;
        } else {
            self.await_first_chunk(head).await?;
        }
        let mut memory = Memory::of(scratch);
        let mut tried = Tried::default();
        let pool = forward.upstream.local.pool();
        let (mut last_error, mut again, mut unsent) = (None, None, None);
        loop {
            let reached = self.reach(forward, &mut tried, again.take(), facts).await;
            let mut reached = reached.map_err(|error| error.or_rather(last_error))?;
            let mut upload = match unsent.take() {
                Some(upload) => upload,
                None => self.begin(forward, &reached, memory.to_server),
            };
            // Unless it had to wait, the request is sent in the moment in which it was read.
            let waited = facts.queued.is_some() || facts.connect.is_some() || facts.retries > 0;
            let sent_at = if waited {
                Instant::now()
            } else {
                facts.started
            };
            let (server, slot) = (&mut reached.connection, &mut memory.response);
            let outcome = self
                .send(
                    (head, bytes),
                    &mut upload,
                    server,
                    slot,
                    (sent_at, pool.response_timeout()),
                )
                .await;
            let Err(error) = outcome else {
                let now = Instant::now();
                facts.response = Some(now.saturating_duration_since(sent_at));
                return self
                    .relay(forward, reached, upload, &mut memory, facts, now)
                    .await;
            };
            facts.body_received = facts.body_received.max(upload.transfer.body_bytes);
            let counters = reached.lease.server().counters().of(self.worker.index);
            counters.bytes_sent.add(upload.transfer.sent_bytes);
            let (stale, harmless) = judge(&error, &reached.connection, &mut tried);
            if !stale && error.is_of_server() {
                counters.failures.add(1);
                reached.lease.report(Outcome::Failed);
                tried.add(reached.lease.index());
            }
            let harmless = harmless || head.is_idempotent(bytes);
            if !may_repeat(harmless, stale, &upload, &error) {
                return Err(error);
            }
            let connection = &mut reached.connection;
            connection.buffer.consume(connection.buffer.len());
            self.worker.buffers.reclaim(&mut connection.buffer);
            if stale {
                // A server may close an idle connection at any time: that says nothing about its
                // health, is no retry, and must not cost a client its server.
                again = Some((reached.lease, reached.private));
            } else if facts.retries < pool.retries() && forward.upstream.local.try_retry() {
                facts.retries += 1;
                counters.retries.add(1);
            } else {
                return Err(error);
            }
            unsent = upload.unsent(memory.to_server);
            last_error = Some(error);
        }
    }

    /// Writes the head of the request.
    fn begin(&self, forward: &Forward<'_>, reached: &Reached<'_>, memory: &mut Vec<u8>) -> Upload {
        let mut out = std::mem::take(memory);
        out.clear();
        let security = &forward.ask.service.service.security;
        let tls = self.client.stream.tls();
        let context = RequestContext {
            hop: &forward.ask.hop,
            forwarded: &forward.ask.service.service.forwarded,
            forwarded_constant: &self.forwarded,
            edits: &forward.ask.decision.request_edits,
            server: reached.lease.server().address(),
            keep_alive: reached.private || forward.upstream.keeps(),
            tls: tls.map(|tls| &**tls).zip(security.headers()),
        };
        write::request(&context, &mut out);
        Upload::new(
            out,
            forward.ask.hop.head.framing,
            reached.connection.is_stream(),
        )
    }
}

/// Windows authentication binds a user to a connection, which is nothing that the streams of one can
/// share: the client has to use HTTP/1.1.
pub(super) fn forbid_windows_auth(asks: bool, forward: &Forward<'_>) -> Result<(), ProxyError> {
    if asks && forward.upstream.private == PrivateConnections::WindowsAuth {
        return Err(ProxyError::Http11Required);
    }
    Ok(())
}

/// What a server over HTTP/2 says when it has done nothing about a request (RFC 9113 section 8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// Anything may be tried.
    Stream,
    /// It wants HTTP/1.1.
    Http2,
}

impl Refused {
    fn of(error: &ProxyError) -> Option<Self> {
        let ProxyError::ServerGone(error) = error else {
            return None;
        };
        let kind = error.kind();
        if kind == session::NOT_IN_HTTP2 {
            return Some(Self::Http2);
        }
        (kind == session::NOT_DONE).then_some(Self::Stream)
    }
}

/// What the failure of an attempt says about the connection: whether it was one that the server was free
/// to close, and whether the server says that it has done nothing.
fn judge(error: &ProxyError, connection: &ServerConnection, tried: &mut Tried) -> (bool, bool) {
    let refused = Refused::of(error);
    if refused == Some(Refused::Http2) {
        tried.avoid_http2();
    }
    if matches!(error, ProxyError::ServerSlow) {
        connection.distrust();
    }
    let stale = connection.reused || refused.is_some() && tried.trusts_idle();
    if stale {
        tried.distrust_idle();
    }
    (stale, refused.is_some())
}

/// Whether a request may be sent once more after its server has failed. When anything of it was sent,
/// a body that has begun is gone from our memory, and a request that is not idempotent may have had
/// its effect, unless the server says that it was `harmless`.
fn may_repeat(harmless: bool, stale: bool, upload: &Upload, error: &ProxyError) -> bool {
    // Bytes that a server sent after its last response are no answer to this request.
    let surplus = stale && matches!(error, ProxyError::ServerMessage(_));
    let body = upload.transfer.body_bytes;
    (surplus || matches!(error, ProxyError::ServerGone(_)))
        && (upload.transfer.is_unsent() || body == 0 && harmless)
}
