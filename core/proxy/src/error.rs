//! What goes wrong while traffic moves, and what that means: which side, and may it be tried again.

use std::io;

use crate::protocol::http::codec::BadMessage;
use crate::tls::HandshakeError;

/// Why an exchange could not be completed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The client went away, or sent something that is not HTTP in the middle of a body.
    #[error("the client closed the connection")]
    ClientGone(#[source] io::Error),
    /// The client sent a message that is refused.
    #[error("{}", .0.reason)]
    ClientMessage(BadMessage),
    /// The client sent its request, or took its response, more slowly than allowed.
    #[error("the client is too slow")]
    ClientSlow,
    /// No connection to a server could be opened.
    #[error("no connection to a server could be opened")]
    Connect(#[source] io::Error),
    /// What is sent must be encrypted, and cannot be.
    #[error("TLS with the server cannot be spoken")]
    NoTls,
    /// The server is not who it should be, or does not speak TLS as we do.
    #[error("{}", .0.cause())]
    Tls(HandshakeError),
    /// Windows authentication was asked for in a stream of HTTP/2.
    #[error("Windows authentication needs HTTP/1.1")]
    Http11Required,
    /// Opening a connection took longer than `connect_timeout`.
    #[error("the server did not accept the connection in time")]
    ConnectTimeout,
    /// The server closed the connection before its response was complete.
    #[error("the server closed the connection")]
    ServerGone(#[source] io::Error),
    /// The server sent something that is not a response.
    #[error("{}", .0.reason)]
    ServerMessage(BadMessage),
    /// The server was silent for longer than `response_timeout`.
    #[error("the server did not answer in time")]
    ServerSlow,
    /// The configuration changed while the request waited: it is decided about anew.
    #[error("the configuration has changed")]
    Superseded,
    /// No rule is for the host that the client asks for, and there is no pool for the rest.
    #[error("no rule is for the host that the client asks for")]
    UnknownHost,
    /// No server of the pool is available.
    #[error("no server is available")]
    Unavailable,
    /// The pool's queue is full.
    #[error("the queue of the pool is full")]
    QueueFull,
    /// No server became free within the pool's `queue.timeout`.
    #[error("no server became free in time")]
    QueueTimeout,
}

impl ProxyError {
    /// The status of our answer, when one can still be sent; none when nobody would read it.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::ClientGone(_) | Self::Http11Required => None,
            Self::ClientMessage(message) | Self::ServerMessage(message) => Some(message.status),
            Self::ClientSlow => Some(408),
            Self::Connect(_) | Self::NoTls | Self::Tls(_) | Self::ServerGone(_) => Some(502),
            Self::Unavailable
            | Self::UnknownHost
            | Self::Superseded
            | Self::QueueFull
            | Self::QueueTimeout => Some(503),
            Self::ConnectTimeout | Self::ServerSlow => Some(504),
        }
    }

    /// Why a request failed that had failed before: that no other server is left says less than why
    /// the last one failed.
    pub(crate) fn or_rather(self, before: Option<Self>) -> Self {
        match (self, before) {
            (Self::Unavailable | Self::Superseded, Some(before)) => before,
            (error, _) => error,
        }
    }

    /// Whether the server is to blame.
    pub(crate) const fn is_of_server(&self) -> bool {
        matches!(
            self,
            Self::ServerGone(_) | Self::ServerMessage(_) | Self::ServerSlow
        )
    }

    /// One word for the access log.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::ClientGone(_) => "client_gone",
            Self::ClientMessage(_) => "client_message",
            Self::ClientSlow => "client_slow",
            Self::Connect(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Http11Required => "http11_required",
            Self::NoTls => "no_tls",
            Self::Tls(_) => "tls_failed",
            Self::ServerGone(_) => "server_gone",
            Self::ServerMessage(_) => "server_message",
            Self::ServerSlow => "server_slow",
            Self::Superseded => "superseded",
            Self::UnknownHost => "unknown_host",
            Self::Unavailable => "unavailable",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
        }
    }
}
