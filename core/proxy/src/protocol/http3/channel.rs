//! One stream of an HTTP/3 connection, as a stream of bytes that speaks HTTP/1.1: what is written to it
//! are heads and bodies, what is read from it is the body of the request.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{self, Code};
use super::message;
use super::qpack;
use super::read::{Event, Fault, Reader};
use super::session::{Held, Session};
use crate::http2::calm;
use crate::http2::message::{TrailerText, begin_chunk};
use crate::stream::{Stream, TlsFacts};

/// How much is taken from what has arrived at once.
const PIECE_MAX: usize = 16 * 1024;

/// The future of who waits for the client to stop a stream.
pub(super) type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// What a client sends on one stream.
pub(super) struct Incoming {
    stream: RecvStream,
    reader: Reader,
    /// What has arrived and was not understood yet.
    chunk: Bytes,
    ended: bool,
}

/// One stream of an HTTP/3 connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one stream"
)]
pub(crate) struct Channel {
    held: Held,
    incoming: Incoming,
    /// Nothing when the message has ended.
    outgoing: Option<SendStream>,
    /// How the body is handed on: in chunks, or as it is.
    chunked: bool,
    websocket: bool,
    /// What waits to be read: text that frames the body, then a piece of it.
    text: Vec<u8>,
    taken: usize,
    data: Bytes,
    /// The end of the body, which is told when nothing can come behind it any more.
    last: Vec<u8>,
    told_end: bool,
    /// What waits to be sent before anything else.
    out: Vec<u8>,
    sent: usize,
    /// How much of the present frame is still to be sent.
    owed: usize,
    has_head: bool,
    /// We have said everything.
    ended: bool,
    /// Either side has broken it off.
    broken: bool,
    /// What the client is told when its request does not come to an end.
    code: Cell<Code>,
    stopped: Option<Stopped>,
    /// How long the client may take for the last of an answer.
    patience: Duration,
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, block_max: usize) -> Self {
        Self {
            stream,
            reader: Reader::new(block_max),
            chunk: Bytes::new(),
            ended: false,
        }
    }

    /// The next thing that the client says; nothing at its end.
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        session: &Session,
    ) -> Poll<Result<Option<Event>, Broken>> {
        loop {
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            if self.chunk.is_empty() {
                let chunk = pin!(self.stream.read_chunk(PIECE_MAX, true));
                match ready!(chunk.poll(cx)) {
                    Ok(Some(chunk)) => self.chunk = chunk.bytes,
                    Ok(None) => {
                        self.ended = true;
                        self.reader.end().map_err(Broken::Fault)?;
                        return Poll::Ready(Ok(None));
                    }
                    Err(ReadError::Reset(_)) => return Poll::Ready(Err(Broken::Reset)),
                    Err(_) => return Poll::Ready(Err(Broken::Gone)),
                }
            }
            match self.reader.take(&mut self.chunk).map_err(Broken::Fault)? {
                Event::More => {}
                Event::Unknown => session.pay(calm::EMPTY),
                event @ (Event::Header(_)
                | Event::TooLarge
                | Event::Data(_)
                | Event::Trailer(_)) => {
                    return Poll::Ready(Ok(Some(event)));
                }
            }
        }
    }

    /// Whether the client has said that this was all, as far as is known now.
    pub(super) fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if self.chunk.is_empty() && !self.ended {
            let chunk = pin!(self.stream.read_chunk(PIECE_MAX, true));
            match chunk.poll(cx) {
                Poll::Ready(Ok(Some(chunk))) => self.chunk = chunk.bytes,
                Poll::Ready(Ok(None)) => self.ended = true,
                // An error is told again.
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
        }
        self.ended
    }

    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    pub(super) fn stop(&mut self, code: Code) {
        // It fails when all has come.
        let _stopped = self.stream.stop(code.into());
    }
}

/// Why nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client has broken a rule.
    Fault(Fault),
    /// The client has broken the stream off.
    Reset,
    /// The connection is over.
    Gone,
}

/// What a new channel is like.
pub(super) struct Opening {
    pub(super) chunked: bool,
    pub(super) websocket: bool,
    pub(super) patience: Duration,
}

impl Channel {
    pub(super) fn new(
        held: Held,
        incoming: Incoming,
        outgoing: SendStream,
        opening: &Opening,
    ) -> Self {
        Self {
            held,
            incoming,
            outgoing: Some(outgoing),
            chunked: opening.chunked,
            websocket: opening.websocket,
            text: Vec::new(),
            taken: 0,
            data: Bytes::new(),
            last: b"0\r\n\r\n".to_vec(),
            told_end: false,
            out: Vec::new(),
            sent: 0,
            owed: 0,
            has_head: false,
            ended: false,
            broken: false,
            code: Cell::new(Code::InternalError),
            stopped: None,
            patience: opening.patience,
        }
    }

    /// Ready when there is something to be read, or nothing will be any more.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken == self.text.len() && self.data.is_empty() && !self.told_end {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let session = self.held.session();
            match ready!(self.incoming.poll_event(cx, session)) {
                Ok(Some(Event::Data(piece))) => {
                    self.text.clear();
                    self.taken = 0;
                    if self.chunked {
                        begin_chunk(piece.len(), &mut self.text);
                    }
                    self.data = piece;
                }
                Ok(Some(Event::Trailer(block))) => self.trailer(&block),
                // There is one header, and what means nothing is not told.
                Ok(Some(Event::Header(_) | Event::TooLarge | Event::More | Event::Unknown)) => {}
                Ok(None) => {
                    self.told_end = true;
                    self.text.clear();
                    self.taken = 0;
                    if self.chunked {
                        self.text = std::mem::take(&mut self.last);
                    }
                }
                Err(broken) => self.break_off(broken),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn trailer(&mut self, block: &[u8]) {
        let mut trailer = TrailerText::default();
        let mut room = Vec::new();
        let decoded = qpack::decode(block, &mut room, |name, value| trailer.field(name, value));
        if decoded.is_err() {
            return self.break_off(Broken::Fault(Fault::Connection(Code::DecompressionFailed)));
        }
        match trailer.end() {
            Some(lines) => self.last = [b"0\r\n", &lines[..], b"\r\n"].concat(),
            None => self.break_off(Broken::Fault(Fault::Stream(Code::MessageError))),
        }
    }

    /// Ends the stream for what the client did.
    fn break_off(&mut self, broken: Broken) {
        self.broken = true;
        let session = self.held.session();
        match broken {
            Broken::Fault(Fault::Connection(code)) => session.fail(code),
            Broken::Fault(Fault::Stream(code)) => {
                self.code.set(code);
                session.pay_broken();
            }
            Broken::Reset => session.pay_broken(),
            Broken::Gone => {}
        }
    }

    /// Sends what waits to be sent before anything else.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            let bytes = self.out.get(self.sent..).unwrap_or_default();
            let stream = self.outgoing.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            self.sent += ready!(Pin::new(stream).poll_write(cx, bytes)).map_err(gone)?;
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken || self.ended {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        ready!(self.poll_out(cx))?;
        if !self.has_head {
            let Some((status, length)) =
                message::write_response(bytes, self.websocket, &mut self.out)
            else {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            };
            self.has_head = status >= 200 || status == 101;
            // What has no room waits for the next write.
            if let Poll::Ready(outcome) = self.poll_out(cx) {
                outcome?;
            }
            return Poll::Ready(Ok(length));
        }
        if self.owed == 0 {
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            self.owed = bytes.len();
            frame::write_head(frame::DATA, bytes.len(), &mut self.out);
            ready!(self.poll_out(cx))?;
        }
        let piece = bytes.get(..self.owed.min(bytes.len())).unwrap_or_default();
        let stream = self.outgoing.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let count = ready!(Pin::new(stream).poll_write(cx, piece)).map_err(gone)?;
        self.owed -= count;
        Poll::Ready(Ok(count))
    }

    /// Ends what we send, with trailer lines.
    fn finish(&mut self, trailer: &[u8]) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        if self.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !self.has_head || self.owed > 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.ended = true;
        if !trailer.is_empty() {
            message::write_trailer(trailer, &mut self.out);
        }
        // What has no room is sent when this is dropped.
        if let Poll::Ready(outcome) = self.poll_out(&mut Context::from_waker(Waker::noop())) {
            outcome?;
            if let Some(mut stream) = self.outgoing.take() {
                let _finished = stream.finish();
                self.held.session().complete(stream);
            }
        }
        Ok(())
    }
}

/// Sends the last of an answer.
async fn send_rest(session: Rc<Session>, mut stream: SendStream, rest: Vec<u8>, within: Duration) {
    let sending = tokio::time::timeout(within, stream.write_all(&rest));
    if matches!(sending.await, Ok(Ok(()))) {
        let _finished = stream.finish();
        session.complete(stream);
    } else {
        let _reset = stream.reset(Code::InternalError.into());
    }
}

fn gone(_: quinn::WriteError) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Drop for Channel {
    fn drop(&mut self) {
        let code = self.code.get();
        if self.ended {
            if let Some(stream) = self.outgoing.take() {
                let rest = self.out.split_off(self.sent);
                let session = Rc::clone(self.held.session());
                tokio::task::spawn_local(send_rest(session, stream, rest, self.patience));
            }
            // The end of the request may have come unasked for.
            let mut cx = Context::from_waker(Waker::noop());
            if !self.incoming.has_ended(&mut cx) {
                // A complete answer stays one when the rest of its request is not wanted
                // (RFC 9114 section 4.1).
                self.incoming.stop(Code::NoError);
            }
            return;
        }
        if let Some(mut stream) = self.outgoing.take() {
            let _reset = stream.reset(code.into());
        }
        self.incoming.stop(code);
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_incoming(cx))?;
        loop {
            let text = this.text.get(this.taken..).unwrap_or_default();
            let count = text.len().min(out.remaining());
            out.put_slice(text.get(..count).unwrap_or_default());
            this.taken += count;
            let count = this.data.len().min(out.remaining());
            out.put_slice(this.data.get(..count).unwrap_or_default());
            this.data.advance(count);
            if count > 0 && this.data.is_empty() && this.chunked {
                this.text.clear();
                this.text.extend_from_slice(b"\r\n");
                this.taken = 0;
                continue;
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().finish(&[]))
    }
}

impl Stream for Channel {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_incoming(cx)
    }

    fn has_unread(&self) -> bool {
        self.taken < self.text.len() || !self.data.is_empty() || !self.incoming.chunk.is_empty()
    }

    fn reset_when_dropped(&self) {}

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken {
            return Poll::Ready(());
        }
        let Some(stream) = self.outgoing.as_ref() else {
            return Poll::Pending;
        };
        let stopped = self
            .stopped
            .get_or_insert_with(|| Box::pin(stream.stopped()));
        let outcome = ready!(stopped.as_mut().poll(cx));
        self.stopped = None;
        if matches!(outcome, Ok(None)) {
            // The client has all of it.
            return Poll::Pending;
        }
        self.break_off(if outcome.is_ok() {
            Broken::Reset
        } else {
            Broken::Gone
        });
        Poll::Ready(())
    }

    fn end_message(&mut self, trailer: &[u8]) -> io::Result<()> {
        self.finish(trailer)
    }

    fn require_http11(&self) {
        self.code.set(Code::VersionFallback);
    }

    fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.held.session().tls.as_ref()
    }
}
