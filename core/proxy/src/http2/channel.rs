//! One stream of an HTTP/2 connection, as a stream of bytes that speaks HTTP/1.1: what is written to it
//! are heads and bodies. What is read from it is the body of a client's request, whose head is known, or
//! the head and the body of a server's response.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::Code;
use super::session::Session;
use crate::stream::{Stream, TlsFacts};

/// One stream of an HTTP/2 connection.
pub(crate) struct Channel {
    session: Rc<Session>,
    /// 0 while it is only promised: who is served first begins first.
    stream: Cell<u32>,
    /// What a client is told when its request does not come to an end.
    code: Cell<Code>,
}

impl Channel {
    /// A stream that a client has begun.
    pub(crate) fn new(session: Rc<Session>, stream: u32) -> Self {
        Self {
            session,
            stream: Cell::new(stream),
            code: Cell::new(Code::InternalError),
        }
    }

    /// A stream to a server, if there is room for one. It begins with the first write, which has to be
    /// a whole head.
    pub(crate) fn to_server(session: &Rc<Session>) -> Option<Self> {
        let reserved = session.reserve();
        reserved.then(|| Self::new(Rc::clone(session), 0))
    }

    /// No further streams begin on the connection.
    pub(crate) fn leave(&self) {
        self.session.leave();
    }

    fn begun(&self) -> io::Result<u32> {
        match self.stream.get() {
            0 => Err(io::ErrorKind::NotConnected.into()),
            stream => Ok(stream),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.stream.get()).finish()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        match self.stream.get() {
            0 => self.session.release(),
            stream => self.session.close(stream, self.code.get()),
        }
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.poll_read(self.begun()?, cx, out)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.stream.get() {
            0 => {
                let (stream, length) = self.session.begin(bytes)?;
                self.stream.set(stream);
                Poll::Ready(Ok(length))
            }
            stream => self.session.poll_write(stream, cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.session.finish(self.begun()?, &[]))
    }
}

impl Stream for Channel {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_readable(self.begun()?, cx)
    }

    fn has_unread(&self) -> bool {
        self.session.has_unread(self.stream.get())
    }

    fn reset_when_dropped(&self) {}

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.poll_gone(self.stream.get(), cx)
    }

    fn end_message(&mut self, trailer: &[u8]) -> io::Result<()> {
        self.session.finish(self.begun()?, trailer)
    }

    fn require_http11(&self) {
        self.code.set(Code::Http11Required);
    }

    fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.session.tls.as_ref()
    }
}
