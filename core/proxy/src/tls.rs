//! TLS with clients and servers: rustls decides what is said, and this is how it goes over a socket
//! of ours, which certificate a client sees, and whom we believe.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use x509_parser::parse_x509_certificate;

use crate::challenge;
use crate::stream::{ClientCertificate, TlsFacts};

mod handshake;
mod hello;
mod material;
mod memory;
mod quic;
mod resolver;
mod servers;
mod service;
mod session;
mod stream;
mod ticket;
mod verify;

#[cfg(test)]
mod tests;

pub(crate) use handshake::{HandshakeError, UNRECOGNIZED_NAME, accept, failure_of, say};
pub use hello::{ClientHello, HELLO_MAX, NotHello};
pub use material::{AuthorityMaterial, Material};
pub(crate) use quic::{QuicSecrets, QuicTls};
pub(crate) use servers::{ServerTlsStream, ServersTls, Speak};
pub(crate) use service::ServiceTls;
pub(crate) use ticket::{TicketKeys, TicketMemory};

/// Our side of TLS with a client.
type ServerSide = UnbufferedServerConnection;

/// What there is to tell about a session whose handshake is over.
fn facts(session: &CommonState) -> TlsFacts {
    let cipher = session.negotiated_cipher_suite();
    TlsFacts {
        http2: session.alpn_protocol() == Some(b"h2"),
        challenge: session.alpn_protocol() == Some(challenge::ALPN),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(_) | None => "TLSv1.2",
        },
        cipher: cipher
            .and_then(|cipher| cipher.suite().as_str())
            .unwrap_or("unknown"),
        server_name: None,
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        client_certificate: None,
    }
}

/// What servers may be told of the certificate that a client has shown.
fn client_certificate(session: &CommonState) -> Option<Box<ClientCertificate>> {
    let shown = session.peer_certificates()?.first()?;
    let (_, parsed) = parse_x509_certificate(shown).ok()?;
    Some(Box::new(ClientCertificate {
        base64: base64(shown),
        subject: in_a_field(&parsed.subject().to_string()),
        issuer: in_a_field(&parsed.issuer().to_string()),
        serial: in_a_field(&parsed.raw_serial_as_string().replace(':', "")),
        sha256: hex(digest(&SHA256, shown).as_ref()),
    }))
}

/// The longest name of a certificate that goes into a header field, in characters.
const NAME_MAX: usize = 1024;

/// Text of strangers, without what could end a header field.
fn in_a_field(text: &str) -> Box<str> {
    let harmless = |c: char| if c.is_control() { '?' } else { c };
    let text: String = text.chars().take(NAME_MAX).map(harmless).collect();
    text.into()
}

fn hex(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes every write");
    }
    text.into()
}

/// Bytes as base64 (RFC 4648 section 4), in one line.
pub(crate) fn base64(bytes: &[u8]) -> Box<[u8]> {
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
