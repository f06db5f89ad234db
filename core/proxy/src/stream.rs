//! Streams of bytes, whatever stands between them and the socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes to and from a client or a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when there is something to read, so that a connection need not hold a buffer to wait.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether something has arrived that the event loop may not have told of yet.
    fn has_unread(&self) -> bool;

    /// From now on, dropping the stream resets the connection instead of closing it in order.
    fn reset_when_dropped(&self);

    /// Whether some of what the latest write was given may be on its way although that write is not
    /// ready yet. It has to be repeated with the same bytes.
    fn is_midway(&self) -> bool {
        false
    }

    /// What is known about TLS, if it is spoken.
    fn tls(&self) -> Option<&Arc<TlsFacts>> {
        None
    }

    /// Ready when nobody is there any more to whom an answer could be sent, where that shows.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Ends the message that was written, with trailer lines, where bytes alone do not say so.
    fn end_message(&mut self, _trailer: &[u8]) -> io::Result<()> {
        Ok(())
    }

    /// From now on, dropping the stream before its message has ended tells the client to use HTTP/1.1.
    fn require_http11(&self) {}
}

impl Stream for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn has_unread(&self) -> bool {
        let peeked = socket2::SockRef::from(self).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Ok(count) if count > 0)
    }

    fn reset_when_dropped(&self) {
        // It fails only on a connection that is already gone.
        drop(self.set_zero_linger());
    }
}

/// What a TLS handshake has found out.
#[derive(Debug)]
pub(crate) struct TlsFacts {
    /// Whether both sides have agreed to speak HTTP/2.
    pub(crate) http2: bool,
    /// Whether an authority has asked whether the host is ours: nothing more is said (RFC 8737).
    pub(crate) challenge: bool,
    /// `TLSv1.2` or `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite by its name in the registry.
    pub(crate) cipher: &'static str,
    /// The host that the client asked for.
    pub(crate) server_name: Option<Box<str>>,
    /// Whether a former session went on.
    pub(crate) resumed: bool,
    /// The certificate that the client has shown, and that was found valid.
    pub(crate) client_certificate: Option<Box<ClientCertificate>>,
}

/// The certificate of a client, as header fields carry it: there are no control characters in it.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// All of it, as base64.
    pub(crate) base64: Box<[u8]>,
    /// Whom it names (RFC 4514).
    pub(crate) subject: Box<str>,
    /// Who has signed it.
    pub(crate) issuer: Box<str>,
    /// Its number, in hexadecimal digits.
    pub(crate) serial: Box<str>,
    /// Its SHA-256, in hexadecimal digits.
    pub(crate) sha256: Box<str>,
}

/// The client's side of a connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) peer: SocketAddr,
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
    pub(crate) attendance: Rc<Attendance>,
}

/// What a connection tells its worker, and how the worker gets its attention.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    /// Whether the connection is between requests.
    idle: Cell<bool>,
    /// Whether it has ever had a server connection of its own.
    holds_private: Cell<bool>,
    /// Wakes the task, whose waker never changes.
    waker: RefCell<Option<Waker>>,
}

impl Attendance {
    /// Notes how the task of the connection is woken.
    pub(crate) fn begin(&self, waker: &Waker) {
        self.waker.replace(Some(waker.clone()));
    }

    /// Notes whether the connection is between requests.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// Whether the connection has ever had a server connection of its own.
    pub(crate) fn holds_private(&self) -> bool {
        self.holds_private.get()
    }

    /// Notes that the connection has a server connection of its own.
    pub(crate) fn set_holds_private(&self) {
        self.holds_private.set(true);
    }

    /// Makes a connection that is between requests look whether it may still wait for another.
    pub(crate) fn nudge(&self) {
        if self.idle.get()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}
