//! Streams of bytes, whatever stands between them and the socket.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes to and from a client or a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when there is something to read, so that a connection need not hold a buffer to wait.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// From now on, dropping the stream resets the connection instead of closing it in order.
    fn reset_when_dropped(&self);
}

impl Stream for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn reset_when_dropped(&self) {
        // It fails only on a connection that is already gone.
        drop(self.set_zero_linger());
    }
}

/// The client's side of a connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) peer: SocketAddr,
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
    /// Told to the worker: whether the connection is between requests.
    pub(crate) idle: Rc<Cell<bool>>,
}
