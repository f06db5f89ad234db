//! HTTP/1.1 on the wire (RFC 9112): heads as bytes plus ranges, bodies as a stream of pieces.
//!
//! The parser is strict where request smuggling lives: whatever two programs could frame in two ways
//! is refused, never repaired. What is merely unusual passes as it came. Nothing here reads a socket.

pub(crate) mod body;
pub(crate) mod field;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod target;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Framing, Piece};
pub use field::{Field, FieldKind, Fields};
pub use request::{HeadLimits, RequestHead};
pub use response::ResponseHead;

/// A message that is refused: the status that says so, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMessage {
    /// The status of the refusal. A bad response of a server is refused with 502.
    pub status: u16,
    /// What is wrong, for the access log and the body of the refusal.
    pub reason: &'static str,
}

impl BadMessage {
    pub(crate) const fn bad_request(reason: &'static str) -> Self {
        Self {
            status: 400,
            reason,
        }
    }

    pub(crate) const fn bad_response(reason: &'static str) -> Self {
        Self {
            status: 502,
            reason,
        }
    }
}

/// The version of an HTTP/1 message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2, in the form of HTTP/1.1.
    Http2,
    /// HTTP/3, in the form of HTTP/1.1.
    Http3,
}

impl Version {
    /// Whether requests share a connection, on streams of their own.
    pub const fn has_streams(self) -> bool {
        match self {
            Self::Http10 | Self::Http11 => false,
            Self::Http2 | Self::Http3 => true,
        }
    }
}
