//! Handshakes: with a deadline, with bounded memory, and with a word for why one failed.

use std::io::{self, Read};
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{
    AlertDescription, CertificateError, Error, PeerIncompatible, ProtocolVersion, ServerConfig,
};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::resolver;
use super::session::{Engine, Session};
use super::stream::TlsStream;
use super::{ServerSide, client_certificate, facts};
use crate::stream::TlsFacts;
use crate::telemetry::HandshakeFailure;

/// The most that a peer may send before a handshake gets on, as in rustls.
const UNPROCESSED_MAX: usize = 64 * 1024;
/// How much is read at once.
const READ_SIZE: usize = 4 * 1024;

/// Answer to a client that speaks plain HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 68\r\n\
    Connection: close\r\n\r\n\
    400 Bad Request: plain HTTP was sent to a port that speaks https.  \n";

/// The alert `unrecognized_name` (RFC 6066 section 3), in the open.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer closed the connection, or the network did.
    #[error("the connection ended during the TLS handshake")]
    Gone(#[source] io::Error),
    /// The peer took longer than it may.
    #[error("the TLS handshake was not complete in time")]
    Timeout,
    /// The client asks for a host that there is no certificate for.
    #[error("no certificate is for the host that the client asks for")]
    UnknownHost,
    /// The server does not agree to speak HTTP/2.
    #[error("the server does not agree to speak HTTP/2 (ALPN h2)")]
    NoHttp2,
    /// One side does not like what the other says.
    #[error("the TLS handshake failed")]
    Refused(#[source] Error),
}

impl HandshakeError {
    /// What kind of failure it is.
    pub(crate) fn reason(&self) -> HandshakeFailure {
        match self {
            Self::Gone(_) => HandshakeFailure::ClientGone,
            Self::Timeout => HandshakeFailure::Timeout,
            Self::UnknownHost => HandshakeFailure::UnknownHost,
            Self::NoHttp2 => HandshakeFailure::Protocol,
            Self::Refused(error) => reason(error),
        }
    }

    /// What went wrong, with its cause.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Gone(error) => format!("{self}: {error}"),
            Self::Refused(Error::InvalidCertificate(error)) => certificate_cause(error),
            Self::Refused(error) => format!("{self}: {error}"),
            Self::Timeout | Self::UnknownHost | Self::NoHttp2 => self.to_string(),
        }
    }

    /// What to do, when a server is the peer.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Refused(Error::InvalidCertificate(error)) => certificate_help(error),
            Self::Refused(Error::InvalidMessage(_)) => {
                "see whether the server speaks TLS on this port"
            }
            Self::Refused(Error::AlertReceived(_)) => {
                "the server refuses: see whether it wants a certificate (`tls.certificate` of the \
                 pool), another name (`tls.server_name`), or speaks old versions only"
            }
            Self::NoHttp2 => {
                "switch HTTP/2 on at the server, or set `http2 = \"offered\"` in the pool"
            }
            Self::Refused(_) | Self::Gone(_) | Self::Timeout | Self::UnknownHost => {
                "see what the server says: openssl s_client -connect ADDRESS -servername NAME"
            }
        }
    }
}

/// What is wrong with the certificate of a server.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what rustls can say grows with its versions"
)]
fn certificate_cause(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "none of the authorities vouches for its certificate".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            // They are written as rustls sees them: `DnsName("iis.corp.test")`.
            let name = |text: &String| text.split('"').nth(1).unwrap_or(text).to_owned();
            let names: Vec<_> = presented.iter().map(name).collect();
            let (names, wanted) = (names.join(", "), expected.to_str());
            format!("its certificate is for `{names}`, not for `{wanted}`")
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        CertificateError::Other(error) => error.0.to_string(),
        error => format!("its certificate cannot be used: {error}"),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what rustls can say grows with its versions"
)]
const fn certificate_help(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => {
            "name its authority in `tls.authorities` of the pool, or its certificate in `tls.pins`; \
             if the authority is known, the server leaves out a certificate between"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "set `tls.server_name` of the pool to a name that its certificate has"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "give the server a new certificate"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "set the clocks of the server and the balancer: timedatectl"
        }
        CertificateError::Revoked => "give the server a certificate that is not revoked",
        CertificateError::Other(_) => {
            "if the server has got another certificate, add its SHA-256 to `tls.pins` of the pool"
        }
        _ => "give the server another certificate",
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what rustls can say grows with its versions"
)]
fn reason(error: &Error) -> HandshakeFailure {
    match error {
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            HandshakeFailure::NoCommonVersion
        }
        Error::AlertReceived(_) => HandshakeFailure::Alert,
        Error::InvalidMessage(_) => HandshakeFailure::NotTls,
        Error::InvalidCertificate(_)
        | Error::InvalidCertRevocationList(_)
        | Error::NoCertificatesPresented => HandshakeFailure::Certificate,
        Error::PeerIncompatible(incompatible) => match incompatible {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired => {
                HandshakeFailure::NoCommonVersion
            }
            _ => HandshakeFailure::NoCommonCipher,
        },
        _ => HandshakeFailure::Protocol,
    }
}

/// What kind of failure it is that we have told a client with this alert.
pub(crate) fn failure_of(alert: AlertDescription) -> HandshakeFailure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what rustls can say grows with its versions"
    )]
    match alert {
        AlertDescription::UnrecognisedName => HandshakeFailure::UnknownHost,
        AlertDescription::ProtocolVersion => HandshakeFailure::NoCommonVersion,
        AlertDescription::HandshakeFailure | AlertDescription::NoApplicationProtocol => {
            HandshakeFailure::NoCommonCipher
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRequired
        | AlertDescription::UnknownCA => HandshakeFailure::Certificate,
        _ => HandshakeFailure::Protocol,
    }
}

/// Speaks TLS with a client, until the deadline.
pub(crate) async fn accept(
    mut socket: TcpStream,
    config: Arc<ServerConfig>,
    until: Instant,
) -> Result<TlsStream<ServerSide>, HandshakeError> {
    let speaks_http = config.alpn_protocols.iter().any(|name| name == b"http/1.1");
    let session = UnbufferedServerConnection::new(config).map_err(HandshakeError::Refused)?;
    let mut engine = Engine::new(session);
    let mut server_name = None;
    let shaking = shake(&mut socket, &mut engine, &mut server_name);
    let outcome = timeout_at(until, shaking).await;
    match outcome.unwrap_or(Err(HandshakeError::Timeout)) {
        Ok(()) => {}
        Err(HandshakeError::UnknownHost) => {
            say(&socket, &UNRECOGNIZED_NAME);
            return Err(HandshakeError::UnknownHost);
        }
        Err(error) => {
            let first = engine.incoming.filled().first();
            let is_text = first.is_some_and(u8::is_ascii_uppercase);
            if speaks_http && is_text && error.reason() == HandshakeFailure::NotTls {
                say(&socket, PLAIN_HTTP);
            } else {
                say(&socket, engine.outgoing.filled());
            }
            return Err(error);
        }
    }
    if engine.session.protocol_version() == Some(ProtocolVersion::TLSv1_2) {
        // The client waits for the end of the handshake, and must not wait for a server.
        send(&socket, &mut engine)
            .await
            .map_err(HandshakeError::Gone)?;
    }
    let facts = TlsFacts {
        server_name,
        client_certificate: client_certificate(&engine.session),
        ..facts(&engine.session)
    };
    Ok(TlsStream::new(socket, engine, facts))
}

/// Speaks TLS with a server, until the deadline.
pub(super) async fn connect(
    mut socket: TcpStream,
    config: Arc<rustls::ClientConfig>,
    name: rustls::pki_types::ServerName<'static>,
    until: Instant,
) -> Result<TlsStream<rustls::client::UnbufferedClientConnection>, HandshakeError> {
    let session = rustls::client::UnbufferedClientConnection::new(config, name)
        .map_err(HandshakeError::Refused)?;
    let mut engine = Engine::new(session);
    let mut server_name = None;
    let shaking = shake(&mut socket, &mut engine, &mut server_name);
    let outcome = timeout_at(until, shaking).await;
    if let Err(error) = outcome.unwrap_or(Err(HandshakeError::Timeout)) {
        say(&socket, engine.outgoing.filled());
        return Err(error);
    }
    let facts = facts(&engine.session);
    Ok(TlsStream::new(socket, engine, facts))
}

/// Exchanges messages until both sides may send data. What is still to be sent then goes with the
/// first data.
async fn shake<C: Session>(
    socket: &mut TcpStream,
    engine: &mut Engine<C>,
    server_name: &mut Option<Box<str>>,
) -> Result<(), HandshakeError> {
    loop {
        let processed = engine.process(&mut ReadBuf::new(&mut []));
        let asked = resolver::take_asked();
        if asked.refused {
            return Err(HandshakeError::UnknownHost);
        }
        if asked.server_name.is_some() {
            *server_name = asked.server_name;
        }
        processed.map_err(HandshakeError::Refused)?;
        if !engine.session.is_handshaking() {
            return Ok(());
        }
        send(socket, engine).await.map_err(HandshakeError::Gone)?;
        engine.settle();
        receive(socket, engine).await?;
    }
}

async fn send<C: Session>(socket: &TcpStream, engine: &mut Engine<C>) -> io::Result<()> {
    while !engine.outgoing.is_empty() {
        match socket.try_write(engine.outgoing.filled()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => engine.outgoing.consume(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) => return Err(error),
        }
    }
    engine.outgoing.settle();
    Ok(())
}

async fn receive<C: Session>(
    socket: &TcpStream,
    engine: &mut Engine<C>,
) -> Result<(), HandshakeError> {
    if engine.incoming.len() >= UNPROCESSED_MAX {
        let error = Error::General("a message of the handshake is too long".into());
        return Err(HandshakeError::Refused(error));
    }
    loop {
        // Waiting costs no memory.
        socket.readable().await.map_err(HandshakeError::Gone)?;
        match socket.try_read(engine.incoming.room(READ_SIZE)) {
            Ok(0) => {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Err(HandshakeError::Gone(error));
            }
            Ok(count) => {
                engine.incoming.fill(count);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(HandshakeError::Gone(error)),
        }
    }
}

/// Says a last thing to a peer that is not spoken with any longer.
pub(crate) fn say(socket: &TcpStream, bytes: &[u8]) {
    if !bytes.is_empty() {
        // Whether it hears it matters to nobody.
        drop(socket.try_write(bytes));
    }
    let socket = socket2::SockRef::from(socket);
    drop(socket.shutdown(std::net::Shutdown::Write));
    // With something unread the kernel would send a reset, and the peer might not see what we said.
    let mut rest = [0; 4096];
    while matches!(Read::read(&mut &*socket, &mut rest), Ok(count) if count > 0) {}
}
