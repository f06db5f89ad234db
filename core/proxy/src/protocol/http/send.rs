//! From the written head of a request to the parsed head of its response: the body of the request
//! moves meanwhile, and informational responses pass by.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::alt_svc::AltSvc;
use super::codec::{BadMessage, BodyDecoder, Framing, RequestHead, ResponseHead, Version};
use super::pace::{Pace, Slow};
use super::write::{self, ResponseContext};
use super::{Connection, codec};
use crate::buffer::BufferPool;
use crate::error::ProxyError;
use crate::policy::header::Edits;
use crate::protocol::transfer::{Encoding, Side, Transfer, TransferError};
use crate::stream::Stream;
use crate::upstream::ServerConnection;

/// How many informational responses a server may send before the final one.
const INFORMATIONAL_MAX: u8 = 16;

/// The body of a request on its way.
pub(super) struct Upload {
    pub(super) transfer: Transfer,
    pub(super) state: UploadState,
}

/// How far the body of a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadState {
    Moving,
    Done,
    /// The server takes no more of it; its response may still come.
    Refused,
}

impl Upload {
    /// `to_stream`: the server is spoken with in HTTP/2, which has frames of its own.
    pub(super) fn new(head_bytes: Vec<u8>, framing: Framing, to_stream: bool) -> Self {
        let encoding = if framing == Framing::Chunked && !to_stream {
            Encoding::Chunked
        } else {
            Encoding::Plain
        };
        let transfer = Transfer::new(head_bytes, BodyDecoder::request(framing), encoding);
        Self {
            transfer,
            state: UploadState::Moving,
        }
    }

    /// The upload for another server, when nothing of it has been sent: what was taken from the
    /// client is still in its memory. Otherwise that memory is given back.
    pub(super) fn unsent(mut self, memory: &mut Vec<u8>) -> Option<Self> {
        if self.transfer.is_unsent() {
            self.state = UploadState::Moving;
            return Some(self);
        }
        *memory = self.transfer.into_memory();
        None
    }

    /// Moves the body on. An error is one of the client's: what the server refuses is only noted.
    pub(super) fn poll<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        client: &mut S,
        buffer: &mut crate::buffer::Buffer,
        server: &mut ServerConnection,
    ) -> Poll<Result<(), ProxyError>> {
        if self.state != UploadState::Moving {
            return Poll::Ready(Ok(()));
        }
        match ready!(
            self.transfer
                .poll(cx, pool, client, buffer, &mut server.stream)
        ) {
            Ok(()) => self.state = UploadState::Done,
            Err(TransferError::Sink(_)) => self.state = UploadState::Refused,
            Err(TransferError::Source(error)) => {
                return Poll::Ready(Err(ProxyError::ClientGone(error)));
            }
            Err(TransferError::Message(message)) => {
                return Poll::Ready(Err(ProxyError::ClientMessage(message)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Where the head of a response is put.
pub(super) struct ResponseSlot<'a> {
    pub(super) head: &'a mut ResponseHead,
    pub(super) bytes: &'a mut Vec<u8>,
}

impl<S: Stream> Connection<S> {
    /// Sends a request and waits for the head of its final response.
    pub(super) async fn send(
        &mut self,
        request: (&RequestHead, &[u8]),
        upload: &mut Upload,
        server: &mut ServerConnection,
        slot: &mut ResponseSlot<'_>,
        (now, timeout): (Instant, Duration),
    ) -> Result<(), ProxyError> {
        let mut informational = 0;
        let mut now = now;
        loop {
            self.await_head(request, upload, server, slot, (now, timeout))
                .await?;
            let head = server
                .buffer
                .bytes()
                .get(..slot.head.length)
                .unwrap_or_default();
            slot.bytes.clear();
            slot.bytes.extend_from_slice(head);
            server.buffer.consume(slot.head.length);
            match slot.head.status {
                101 if request.0.upgrade => return Ok(()),
                101 => {
                    let reason = "the server changes the protocol without being asked";
                    return Err(ProxyError::ServerMessage(BadMessage::bad_response(reason)));
                }
                100..200 => {
                    informational += 1;
                    if informational > INFORMATIONAL_MAX {
                        let reason = "the server sends informational responses without end";
                        return Err(ProxyError::ServerMessage(BadMessage::bad_response(reason)));
                    }
                    self.pass_informational(request.0, slot).await?;
                    now = Instant::now();
                }
                _ => return Ok(()),
            }
        }
    }

    /// Moves the body of the request until the head of a response is there.
    async fn await_head(
        &mut self,
        request: (&RequestHead, &[u8]),
        upload: &mut Upload,
        server: &mut ServerConnection,
        slot: &mut ResponseSlot<'_>,
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
        let to_head = request.0.method(request.1) == b"HEAD";
        let rate_min = live.look(|service| service.timeouts.body_rate_min);
        let mut pace = Pace::new(now, Side::Source, rate_min, timeout);
        let (mut sent, mut first) = (None, true);
        deadline.set(pace.next());
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(outcome) =
                    upload.poll(cx, &worker.buffers, &mut client.stream, buffer, server)
                {
                    outcome?;
                    if sent.is_none() {
                        // Most requests go out at once, in the moment that is already known.
                        let at = *sent.insert(if first { now } else { Instant::now() });
                        deadline.set(at + timeout);
                    }
                }
                first = false;
                match poll_head(cx, &worker.buffers, server, slot.head, to_head) {
                    Poll::Ready(outcome) => return Poll::Ready(outcome),
                    Poll::Pending if client.stream.poll_gone(cx).is_ready() => {
                        let gone = io::ErrorKind::ConnectionReset.into();
                        return Poll::Ready(Err(ProxyError::ClientGone(gone)));
                    }
                    Poll::Pending => ready!(deadline.poll_passed(cx)),
                }
                if sent.is_some() {
                    return Poll::Ready(Err(ProxyError::ServerSlow));
                }
                match pace.look(Instant::now(), &upload.transfer) {
                    // Waiting for 100 (Continue) the client is right to send nothing.
                    Some(Slow::Client) if !request.0.expects_continue => {
                        return Poll::Ready(Err(ProxyError::ClientSlow));
                    }
                    Some(Slow::Server) => return Poll::Ready(Err(ProxyError::ServerSlow)),
                    Some(Slow::Client) | None => deadline.set(pace.next()),
                }
            }
        })
        .await
    }

    /// Passes an informational response on to a client that understands it.
    async fn pass_informational(
        &mut self,
        request: &RequestHead,
        slot: &ResponseSlot<'_>,
    ) -> Result<(), ProxyError> {
        let unasked = slot.head.status == 100 && !request.expects_continue;
        if unasked || request.version == Version::Http10 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(256);
        let context = ResponseContext {
            head: slot.head,
            bytes: slot.bytes,
            edits: &Edits::default(),
            client_version: request.version,
            cookie: None,
            keep_alive: true,
            encoding: Encoding::Plain,
            hsts: &[],
            alt_svc: AltSvc::Nothing,
            secure_authority: None,
        };
        write::response(&context, &mut out);
        if self.write_all(&out).await {
            return Ok(());
        }
        Err(ProxyError::ClientGone(io::ErrorKind::BrokenPipe.into()))
    }

    /// Makes sure that a chunked body begins well: no byte of a request whose framing is broken
    /// reaches a server. A client that waits for 100 (Continue) has not sent any of it yet.
    pub(super) async fn await_first_chunk(&mut self, head: &RequestHead) -> Result<(), ProxyError> {
        if head.framing != Framing::Chunked || head.expects_continue {
            return Ok(());
        }
        let timeout = self.live.look(|service| service.timeouts.header.duration());
        self.deadline.set(Instant::now() + timeout);
        loop {
            let mut ahead = BodyDecoder::request(Framing::Chunked);
            let piece = ahead
                .decode(self.buffer.bytes())
                .map_err(ProxyError::ClientMessage)?;
            if piece != codec::Piece::Incomplete {
                return Ok(());
            }
            self.worker.buffers.lend(&mut self.buffer);
            match self.fill().await {
                Some(Ok(count)) if count > 0 => {}
                Some(Ok(_)) => {
                    return Err(ProxyError::ClientGone(io::ErrorKind::UnexpectedEof.into()));
                }
                Some(Err(error)) => return Err(ProxyError::ClientGone(error)),
                None => return Err(ProxyError::ClientSlow),
            }
        }
    }
}

/// Reads until the head of a response is there.
fn poll_head(
    cx: &mut Context<'_>,
    pool: &BufferPool,
    server: &mut ServerConnection,
    head: &mut ResponseHead,
    to_head: bool,
) -> Poll<Result<(), ProxyError>> {
    loop {
        if !server.buffer.is_empty()
            && head
                .parse(server.buffer.bytes(), to_head)
                .map_err(ProxyError::ServerMessage)?
        {
            return Poll::Ready(Ok(()));
        }
        if server.buffer.capacity() == 0 {
            ready!(server.stream.poll_readable(cx)).map_err(ProxyError::ServerGone)?;
            pool.lend(&mut server.buffer);
        }
        if server.buffer.len() == server.buffer.capacity() {
            server.buffer.grow(codec::response::BYTES_MAX + 1);
        }
        match ready!(server.buffer.poll_fill(cx, &mut server.stream)) {
            Ok(0) => {
                let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Poll::Ready(Err(ProxyError::ServerGone(error)));
            }
            Ok(_) => {}
            Err(error) => return Poll::Ready(Err(ProxyError::ServerGone(error))),
        }
    }
}
