//! TLS with clients and servers: rustls decides what is said, and this is how it goes over a socket
//! of ours, which certificate a client sees, and whom we believe.

use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::stream::TlsFacts;

mod handshake;
mod hello;
mod material;
mod memory;
mod resolver;
mod servers;
mod service;
mod session;
mod stream;
mod ticket;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use handshake::{HandshakeError, UNRECOGNIZED_NAME, accept, say};
pub use hello::{ClientHello, HELLO_MAX, NotHello};
pub use material::{AuthorityMaterial, Material};
pub(crate) use servers::{ServerStream, ServersTls};
pub(crate) use service::ServiceTls;
pub(crate) use ticket::{TicketKeys, TicketMemory};

/// Our side of TLS with a client.
type ServerSide = UnbufferedServerConnection;

/// What there is to tell about a session whose handshake is over.
fn facts(session: &CommonState, server_name: Option<Box<str>>) -> TlsFacts {
    let cipher = session.negotiated_cipher_suite();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    TlsFacts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(_) | None => "TLSv1.2",
        },
        cipher: cipher
            .and_then(|cipher| cipher.suite().as_str())
            .unwrap_or("unknown"),
        server_name,
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        client_certificate: shown.map(|certificate| base64(certificate)),
    }
}

/// Bytes as base64 (RFC 4648 section 4), in one line.
fn base64(bytes: &[u8]) -> Box<[u8]> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS[(bits >> shift & 63) as usize];
            text.push(if at <= three.len() { digit } else { b'=' });
        }
    }
    text.into()
}
