//! One stream of an HTTP/2 connection, as a stream of bytes that speaks HTTP/1.1: what is written to it
//! are heads and bodies, what is read from it is the body of the request.

use std::cell::Cell;
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
    stream: u32,
    /// What the client is told when its request does not come to an end.
    code: Cell<Code>,
}

impl Channel {
    pub(super) fn new(session: Rc<Session>, stream: u32) -> Self {
        Self {
            session,
            stream,
            code: Cell::new(Code::InternalError),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.session.close(self.stream, self.code.get());
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.poll_read(self.stream, cx, out)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.session.poll_write(self.stream, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.session.finish(self.stream, &[]))
    }
}

impl Stream for Channel {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_readable(self.stream, cx)
    }

    fn has_unread(&self) -> bool {
        self.session.has_unread(self.stream)
    }

    fn reset_when_dropped(&self) {}

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.poll_gone(self.stream, cx)
    }

    fn end_message(&mut self, trailer: &[u8]) -> io::Result<()> {
        self.session.finish(self.stream, trailer)
    }

    fn require_http11(&self) {
        self.code.set(Code::Http11Required);
    }

    fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.session.tls.as_ref()
    }
}
