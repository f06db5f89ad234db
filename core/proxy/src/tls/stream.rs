//! TLS between us and a socket. It holds memory for bytes only while there are some, and writes
//! what belongs together with one system call.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::session::{Engine, Outbound, Session};
use crate::stream::{Stream, TlsFacts};

/// How much is encrypted before it is sent.
const WRITE_MAX: usize = 64 * 1024;
/// How much is read at once for somebody who has room for much.
const READ_BULK: usize = 64 * 1024;
/// How much is read at once for others: one record.
const READ_RECORD: usize = 17 * 1024;
/// The most that is received without anything coming of it: a message in many records.
const UNPROCESSED_MAX: usize = 128 * 1024;

/// A connection that speaks TLS, after its handshake.
///
/// A write that is not ready is repeated with the same bytes at the front: they are encrypted
/// already, and it is ready when they are sent.
pub(crate) struct TlsStream<C: Session> {
    socket: TcpStream,
    engine: Engine<C>,
    facts: Arc<TlsFacts>,
    /// How much of what is being written is encrypted and not all sent.
    accepted: usize,
    end: End,
    /// Whether we have said that we send no more.
    closing: bool,
    reset: Cell<bool>,
}

/// Whether anything can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// The peer has said that this was all.
    Closed,
    /// Nobody knows whether this was all.
    Broken(io::ErrorKind),
}

impl<C: Session> TlsStream<C> {
    /// A connection whose handshake is over.
    pub(super) fn new(socket: TcpStream, engine: Engine<C>, facts: TlsFacts) -> Self {
        Self {
            socket,
            engine,
            facts: Arc::new(facts),
            accepted: 0,
            end: End::Open,
            closing: false,
            reset: Cell::new(false),
        }
    }

    /// How many bytes of memory it holds for what is on its way.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.engine.memory()
    }

    /// Reads and decrypts until there is something for `out`, or nothing more can come. What has
    /// no room in it waits.
    fn poll_plaintext(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.engine.plaintext.is_empty() {
                let waiting = self.engine.plaintext.filled();
                let count = waiting.len().min(out.remaining());
                out.put_slice(waiting.get(..count).unwrap_or_default());
                self.engine.plaintext.consume(count);
                return Poll::Ready(Ok(()));
            }
            if self.end == End::Open && !self.engine.incoming.is_empty() {
                self.process(out);
            }
            if !out.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !self.engine.plaintext.is_empty() {
                continue;
            }
            match self.end {
                End::Open => {}
                End::Closed => return Poll::Ready(Ok(())),
                End::Broken(kind) => {
                    // The peer may be told why; it matters to nobody whether it hears it.
                    let _told = self.poll_send(cx);
                    return Poll::Ready(Err(kind.into()));
                }
            }
            if self.poll_receive(cx, out.remaining()).is_pending() {
                // What the handshake has left to be sent goes with the first data, but does not
                // wait for it.
                let _sent = self.poll_send(cx);
                self.engine.settle();
                return Poll::Pending;
            }
        }
    }

    fn process(&mut self, out: &mut ReadBuf<'_>) {
        match self.engine.process(out) {
            Ok(()) if self.engine.peer_closed => self.end = End::Closed,
            Ok(()) => {}
            Err(error) => {
                tracing::debug!(%error, "a TLS connection is broken");
                self.end = End::Broken(io::ErrorKind::InvalidData);
            }
        }
    }

    /// Receives once. What becomes of it stands in `incoming` and `end`.
    fn poll_receive(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<()> {
        let waiting = self.engine.incoming.len();
        if waiting >= UNPROCESSED_MAX {
            self.end = End::Broken(io::ErrorKind::InvalidData);
            return Poll::Ready(());
        }
        // Waiting costs no memory.
        if let Err(error) = ready!(self.socket.poll_read_ready(cx)) {
            self.end = End::Broken(error.kind());
            return Poll::Ready(());
        }
        let size = if wanted >= READ_BULK {
            READ_BULK
        } else {
            READ_RECORD.saturating_sub(waiting).max(1024)
        };
        let mut room = ReadBuf::new(self.engine.incoming.room(size));
        match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room)) {
            Ok(()) if room.filled().is_empty() => {
                // Whoever is between us and the peer can end a connection, but not say that it
                // was meant to end.
                self.end = End::Broken(io::ErrorKind::UnexpectedEof);
            }
            Ok(()) => {
                let count = room.filled().len();
                self.engine.incoming.fill(count);
            }
            Err(error) => self.end = End::Broken(error.kind()),
        }
        Poll::Ready(())
    }

    /// Sends everything that is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.engine.outgoing.is_empty() {
            let bytes = self.engine.outgoing.filled();
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.engine.outgoing.consume(count);
        }
        self.engine.outgoing.settle();
        Poll::Ready(Ok(()))
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.closing, true) {
            // It fails only on a connection that is broken.
            drop(self.engine.encrypt(Outbound::CloseNotify));
        }
    }
}

impl<C: Session> AsyncRead for TlsStream<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut own = ReadBuf::new(out.initialize_unfilled());
        ready!(self.get_mut().poll_plaintext(cx, &mut own))?;
        let count = own.filled().len();
        out.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<C: Session> AsyncWrite for TlsStream<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.accepted == 0 {
            let bytes = bytes.get(..WRITE_MAX).unwrap_or(bytes);
            this.engine.encrypt(Outbound::Data(bytes))?;
            this.accepted = bytes.len();
        }
        ready!(this.poll_send(cx))?;
        debug_assert!(this.accepted <= bytes.len(), "a write is repeated");
        Poll::Ready(Ok(std::mem::take(&mut this.accepted).min(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl<C: Session> Stream for TlsStream<C> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Records may arrive that hold nothing for a reader: the next one is waited for here.
        match ready!(self.poll_plaintext(cx, &mut ReadBuf::new(&mut []))) {
            // The reader sees for itself what is wrong.
            Ok(()) | Err(_) => Poll::Ready(Ok(())),
        }
    }

    fn has_unread(&self) -> bool {
        let waits = !self.engine.plaintext.is_empty() || !self.engine.incoming.is_empty();
        waits || Stream::has_unread(&self.socket)
    }

    fn reset_when_dropped(&self) {
        self.reset.set(true);
        Stream::reset_when_dropped(&self.socket);
    }

    fn is_midway(&self) -> bool {
        self.accepted > 0
    }

    fn tls(&self) -> Option<&Arc<TlsFacts>> {
        Some(&self.facts)
    }
}

impl<C: Session> Drop for TlsStream<C> {
    fn drop(&mut self) {
        let whole = self.engine.outgoing.is_empty() && !self.reset.get();
        if whole && !self.closing && !matches!(self.end, End::Broken(_)) {
            self.close();
            // There is room for it unless the peer has taken nothing for long.
            drop(self.socket.try_write(self.engine.outgoing.filled()));
        }
    }
}

impl<C: Session> fmt::Debug for TlsStream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("facts", &self.facts)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
