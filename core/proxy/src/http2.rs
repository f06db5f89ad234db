//! HTTP/2 on the wire (RFC 9113), for both roles: frames, header blocks, windows and streams. A stream
//! is a [`Channel`]: bytes in the form of HTTP/1.1, so that everything about a request is decided in
//! one place. Who opens connections and serves them is elsewhere.

pub(crate) mod calm;
mod channel;
pub(crate) mod frame;
pub(crate) mod heard;
pub(crate) mod hpack;
pub(crate) mod message;
pub(crate) mod read;
pub(crate) mod server;
pub(crate) mod session;
mod wire;

pub(crate) use channel::Channel;
pub(crate) use frame::PREFACE;
pub(crate) use wire::Wire;

/// The most that a frame takes in a read buffer.
const _: () = assert!(frame::PAYLOAD_MAX + frame::HEAD <= 2 * crate::buffer::SMALL);
