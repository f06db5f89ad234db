//! TLS with clients and servers: rustls decides what is said, and this is how it goes over a socket
//! of ours, which certificate a client sees, and whom we believe.

use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::stream::TlsFacts;

mod handshake;
mod material;
mod memory;
mod resolver;
mod service;
mod session;
mod stream;
mod ticket;

#[cfg(test)]
mod tests;

pub(crate) use handshake::accept;
pub use material::{AuthorityMaterial, Material};
pub(crate) use service::ServiceTls;
pub(crate) use ticket::{TicketKeys, TicketMemory};

/// Our side of TLS with a client.
type ServerSide = UnbufferedServerConnection;

/// What there is to tell about a session whose handshake is over.
fn facts(session: &CommonState, server_name: Option<Box<str>>) -> TlsFacts {
    let cipher = session.negotiated_cipher_suite();
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
    }
}
