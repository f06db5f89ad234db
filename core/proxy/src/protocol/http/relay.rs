//! The response on its way to the client, and what becomes of both connections after it.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, ready};
use std::time::Duration;

use lb_model::config::PrivateConnections;
use tokio::time::Instant;

use super::codec::{BodyDecoder, FieldKind, Framing, Version};
use super::exchange::{Forward, Memory, forbid_windows_auth};
use super::facts::Facts;
use super::pace::{Pace, Slow};
use super::reach::Reached;
use super::send::{Upload, UploadState};
use super::write::{self, ResponseContext};
use super::{After, Connection};
use crate::error::ProxyError;
use crate::pool::Outcome;
use crate::protocol::transfer::{Encoding, Side, Transfer, TransferError};
use crate::stream::Stream;
use crate::upstream::ServerConnection;

/// How long the rest of a request body is still passed on after its response is complete.
const BODY_AFTER_RESPONSE_MAX: Duration = Duration::from_secs(30);

impl<S: Stream> Connection<S> {
    /// Relays the response whose head is in `memory`.
    pub(super) async fn relay<'a>(
        &mut self,
        forward: &Forward<'a>,
        mut reached: Reached<'a>,
        mut upload: Upload,
        memory: &mut Memory<'_>,
        facts: &mut Facts<'a>,
        now: Instant,
    ) -> Result<After, ProxyError> {
        let response = &*memory.response.head;
        self.note_response(forward, &mut reached, memory, facts);
        let request = forward.ask.hop.head;
        let http10 = request.version == Version::Http10;
        let unframed = matches!(response.framing, Framing::Chunked | Framing::UntilClose);
        if request.version.has_streams() {
            forbid_windows_auth(response.windows_auth, forward)?;
        }
        let encoding = if unframed && request.version == Version::Http11 {
            Encoding::Chunked
        } else {
            Encoding::Plain
        };
        // Without chunks, only the end of the connection ends a body of unknown length.
        let keep = request.keep_alive
            && !(unframed && http10)
            && upload.state != UploadState::Refused
            && self.keeps();
        let mut out = std::mem::take(memory.to_client);
        out.clear();
        let (hop, security) = (&forward.ask.hop, &forward.ask.service.service.security);
        let context = ResponseContext {
            head: response,
            bytes: memory.response.bytes,
            edits: &forward.ask.decision.response_edits,
            client_version: request.version,
            cookie: reached.lease.response_cookie(),
            keep_alive: keep,
            encoding,
            hsts: security.hsts(),
            alt_svc: self.alt_svc(request.version),
            secure_authority: security
                .rewrites_location()
                .then(|| request.authority(hop.bytes)),
        };
        write::response(&context, &mut out);
        facts.status = Some(response.status);
        if response.status == 101 {
            return Ok(self.upgrade(forward, reached, out, facts).await);
        }
        let mut download = Transfer::new(out, BodyDecoder::response(response.framing), encoding);
        let server = &mut reached.connection;
        let timeout = forward.upstream.local.pool().response_timeout();
        let outcome = self
            .relay_body(server, &mut upload, &mut download, (now, timeout))
            .await;
        self.note_bytes(&reached, &upload, &download, facts);
        if outcome.is_err() {
            if download.is_unsent() {
                // Nothing of the response has reached the client: it can still be told.
                facts.status = None;
            } else if unframed && http10 {
                // An orderly end would tell the client that this was the whole body.
                self.client.stream.reset_when_dropped();
            }
        }
        *memory.to_client = download.into_memory();
        let complete = upload.state == UploadState::Done;
        *memory.to_server = upload.transfer.into_memory();
        outcome?;
        let server_keeps = memory.response.head.keep_alive && complete;
        let challenged = memory.response.head.windows_auth;
        self.put_back(forward, reached, server_keeps, challenged, now);
        Ok(match (keep, complete) {
            (true, true) => After::Keep,
            (false, true) => After::Close,
            (_, false) => After::Linger,
        })
    }

    /// Counts the response, and lets persistence learn from it.
    fn note_response(
        &self,
        forward: &Forward<'_>,
        reached: &mut Reached<'_>,
        memory: &Memory<'_>,
        facts: &mut Facts<'_>,
    ) {
        let response = &*memory.response.head;
        let counters = reached.lease.server().counters().of(self.worker.index);
        if let Some(counter) = counters.responses.get(usize::from(response.status / 100)) {
            counter.add(1);
        }
        counters
            .response_time
            .record(facts.response.unwrap_or_default());
        reached.lease.report(Outcome::Status(response.status));
        reached.lease.commit();
        let local = &forward.upstream.local;
        let Some(name) = local
            .pool()
            .cookie_name()
            .filter(|_| local.pool().learns_cookie())
        else {
            return;
        };
        for field in response.fields.of(FieldKind::SetCookie) {
            let value = field.value(memory.response.bytes);
            let pair = value.split(|b| *b == b';').next().unwrap_or_default();
            if let Some(value) = pair
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(b"="))
            {
                local.learn(value.trim_ascii(), reached.lease.index());
            }
        }
    }

    /// Moves the rest of the request and the response until both are complete.
    async fn relay_body(
        &mut self,
        server: &mut ServerConnection,
        upload: &mut Upload,
        download: &mut Transfer,
        (now, timeout): (Instant, Duration),
    ) -> Result<(), ProxyError> {
        let Self {
            worker,
            live,
            client,
            buffer,
            deadline,
            ..
        } = self;
        let rate_min = live.look(|service| service.timeouts.body_rate_min);
        let mut sending = Pace::new(now, Side::Source, rate_min, timeout);
        let mut receiving = Pace::new(now, Side::Sink, rate_min, timeout);
        let mut answered = None;
        deadline.set(receiving.next());
        poll_fn(|cx| {
            loop {
                // An error of the client in its body no longer stops a response that has begun.
                if let Poll::Ready(Err(_)) =
                    upload.poll(cx, &worker.buffers, &mut client.stream, buffer, server)
                {
                    upload.state = UploadState::Refused;
                }
                if answered.is_none() {
                    let ServerConnection {
                        stream,
                        buffer: received,
                        ..
                    } = server;
                    let moved =
                        download.poll(cx, &worker.buffers, stream, received, &mut client.stream);
                    if let Poll::Ready(outcome) = moved {
                        outcome.map_err(download_error)?;
                        if upload.state != UploadState::Moving {
                            return Poll::Ready(Ok(()));
                        }
                        let at = *answered.insert(Instant::now());
                        deadline.set(at + BODY_AFTER_RESPONSE_MAX);
                    }
                }
                if answered.is_some() && upload.state != UploadState::Moving {
                    return Poll::Ready(Ok(()));
                }
                if client.stream.poll_gone(cx).is_ready() {
                    let gone = io::ErrorKind::ConnectionReset.into();
                    return Poll::Ready(Err(ProxyError::ClientGone(gone)));
                }
                ready!(deadline.poll_passed(cx));
                let now = Instant::now();
                if answered.is_some() {
                    upload.state = UploadState::Refused;
                    continue;
                }
                let slow_upload = (upload.state == UploadState::Moving)
                    .then(|| sending.look(now, &upload.transfer))
                    .flatten();
                match (receiving.look(now, download), slow_upload) {
                    (Some(Slow::Client), _) => return Poll::Ready(Err(ProxyError::ClientSlow)),
                    (Some(Slow::Server), _) => return Poll::Ready(Err(ProxyError::ServerSlow)),
                    (None, Some(_)) => upload.state = UploadState::Refused,
                    (None, None) => {}
                }
                deadline.set(receiving.next());
            }
        })
        .await
    }

    /// Keeps the connection to the server for the next request, of anybody or of this client alone.
    fn put_back(
        &mut self,
        forward: &Forward<'_>,
        reached: Reached<'_>,
        server_keeps: bool,
        challenged: bool,
        now: Instant,
    ) {
        let Reached {
            lease,
            mut connection,
            private,
        } = reached;
        let windows_auth = forward.upstream.private == PrivateConnections::WindowsAuth;
        if connection.buffer.is_empty() {
            self.worker.buffers.reclaim(&mut connection.buffer);
        }
        if !server_keeps || !connection.buffer.is_empty() || connection.is_stream() {
            return;
        }
        if private || windows_auth && challenged {
            self.keep_private(forward.upstream, lease.index(), connection);
        } else {
            forward.upstream.put_idle(lease.index(), connection, now);
        }
    }

    fn note_bytes(
        &self,
        reached: &Reached<'_>,
        upload: &Upload,
        download: &Transfer,
        facts: &mut Facts<'_>,
    ) {
        facts.body_received = upload.transfer.body_bytes;
        facts.bytes_sent += download.sent_bytes;
        let counters = reached.lease.server().counters().of(self.worker.index);
        counters.bytes_sent.add(upload.transfer.sent_bytes);
        counters.bytes_received.add(download.body_bytes);
    }
}

fn download_error(error: TransferError) -> ProxyError {
    match error {
        TransferError::Source(error) => ProxyError::ServerGone(error),
        TransferError::Message(message) => ProxyError::ServerMessage(message),
        TransferError::Sink(error) => ProxyError::ClientGone(io::Error::from(error.kind())),
    }
}
