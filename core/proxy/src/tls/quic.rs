//! TLS inside QUIC (RFC 9001): the same certificates, tickets and demands on clients as over TCP, and as
//! much to tell about the session. The library's own glue does not tell the cipher, nor whether a session
//! was resumed, nor why a host is refused.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;

use aws_lc_rs::rand;
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{
    ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig as QuicConfig,
    Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{KeyChange, Secrets, ServerConnection, Suite, Version};
use rustls::{AlertDescription, CipherSuite, ServerConfig};
use serde::{Deserialize, Serialize};

use super::{client_certificate, facts, resolver};
use crate::stream::TlsFacts;

/// The name of HTTP/3 in ALPN (RFC 9114 section 3.1).
const HTTP3: &[u8] = b"h3";
/// The version of QUIC that is spoken (RFC 9000 section 15).
const VERSION: u32 = 1;

/// What the workers of a process and its successors share, so that each can deal with what another has
/// said to a client. Whoever has these can end connections of clients and evade the validation of their
/// addresses, but read nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuicSecrets {
    /// Makes the tokens with which a client is told that a connection is no more.
    pub(crate) reset: [u8; 32],
    /// Seals the tokens with which clients show that they are where they say.
    pub(crate) token: [u8; 32],
    /// The number of the process, one more than that of the one before it.
    pub(crate) generation: u16,
}

impl QuicSecrets {
    /// New ones; nothing when the system gives no randomness.
    pub(super) fn new() -> Option<Self> {
        let (mut reset, mut token, mut generation) = ([0; 32], [0; 32], [0; 2]);
        for bytes in [&mut reset[..], &mut token[..], &mut generation[..]] {
            rand::fill(bytes).ok()?;
        }
        let generation = u16::from_be_bytes(generation);
        Some(Self {
            reset,
            token,
            generation,
        })
    }

    /// Those of a process that takes the place of the one that has these.
    pub(super) fn next(&self) -> Self {
        Self {
            generation: self.generation.wrapping_add(1),
            ..self.clone()
        }
    }
}

impl std::fmt::Debug for QuicSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicSecrets")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// TLS of one virtual service inside QUIC.
pub(crate) struct QuicTls {
    config: Arc<ServerConfig>,
    /// What protects first datagrams, for whoever looks (RFC 9001 section 5.2).
    initial: Suite,
    library: Arc<QuicServerConfig>,
}

impl QuicTls {
    /// The same as over TCP, for HTTP/3 alone; nothing when its algorithms are not enough for QUIC.
    pub(super) fn build(over_tcp: &ServerConfig) -> Option<Self> {
        let mut config = over_tcp.clone();
        config.alpn_protocols = vec![HTTP3.to_vec()];
        let config = Arc::new(config);
        // It fails for a configuration, never for a connection.
        ServerConnection::new(Arc::clone(&config), Version::V1, Vec::new()).ok()?;
        let suites = &config.crypto_provider().cipher_suites;
        let initial = suites
            .iter()
            .find(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256)?;
        let initial = initial.tls13()?.quic_suite()?;
        let library = QuicServerConfig::with_initial(Arc::clone(&config), initial).ok()?;
        Some(Self {
            config,
            initial,
            library: Arc::new(library),
        })
    }
}

impl QuicConfig for QuicTls {
    fn initial_keys(
        &self,
        version: u32,
        destination: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        if version != VERSION {
            return Err(UnsupportedVersion);
        }
        let side = rustls::Side::Server;
        Ok(as_keys(self.initial.keys(destination, side, Version::V1)))
    }

    fn retry_tag(&self, version: u32, original: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.library.retry_tag(version, original, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn Session> {
        let mut bytes = Vec::new();
        parameters.write(&mut bytes);
        let config = Arc::clone(&self.config);
        Box::new(QuicSession {
            inner: ServerConnection::new(config, Version::V1, bytes).ok(),
            tls: self,
            next_secrets: None,
            server_name: None,
            told: false,
        })
    }
}

/// One session.
struct QuicSession {
    tls: Arc<QuicTls>,
    /// There is always one, as [`QuicTls::build`] has tried.
    inner: Option<ServerConnection>,
    next_secrets: Option<Secrets>,
    /// The host that the client asked for.
    server_name: Option<Box<str>>,
    /// Whether it was told that the handshake is over.
    told: bool,
}

impl QuicSession {
    fn failed(&self, error: &rustls::Error) -> TransportError {
        let alert = self.inner.as_ref().and_then(|inner| inner.alert());
        let code = alert.map_or(TransportErrorCode::PROTOCOL_VIOLATION, alert_code);
        failure(code, error.to_string())
    }
}

fn failure(code: TransportErrorCode, reason: String) -> TransportError {
    TransportError {
        code,
        frame: None,
        reason,
    }
}

/// An alert of TLS as QUIC says it (RFC 9001 section 4.8).
fn alert_code(alert: AlertDescription) -> TransportErrorCode {
    TransportErrorCode::crypto(alert.into())
}

fn as_keys(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair {
            local: Box::new(keys.local.header),
            remote: Box::new(keys.remote.header),
        },
        packet: KeyPair {
            local: Box::new(keys.local.packet),
            remote: Box::new(keys.remote.packet),
        },
    }
}

impl Session for QuicSession {
    fn initial_keys(&self, destination: &ConnectionId, _: Side) -> Keys {
        let initial = &self.tls.initial;
        as_keys(initial.keys(destination, rustls::Side::Server, Version::V1))
    }

    /// [`TlsFacts`], once the handshake is over.
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let session = self.inner.as_ref()?;
        if session.is_handshaking() {
            return None;
        }
        Some(Box::new(TlsFacts {
            server_name: self.server_name.clone(),
            client_certificate: client_certificate(session),
            ..facts(session)
        }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        // What is sent before the handshake can be sent twice by anybody (RFC 9001 section 9.2).
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(|session| session.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Some(session) = &mut self.inner else {
            let reason = "there is no TLS".to_owned();
            return Err(failure(TransportErrorCode::INTERNAL_ERROR, reason));
        };
        let outcome = session.read_hs(bytes);
        let asked = resolver::take_asked();
        if asked.server_name.is_some() {
            self.server_name = asked.server_name;
        }
        if let Err(error) = outcome {
            return Err(if asked.refused {
                let reason = "no certificate is for this host".to_owned();
                failure(alert_code(AlertDescription::UnrecognisedName), reason)
            } else {
                self.failed(&error)
            });
        }
        let first = !self.told && !self.is_handshaking();
        self.told |= first;
        Ok(first)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let session = self.inner.as_ref();
        let Some(bytes) = session.and_then(|session| session.quic_transport_parameters()) else {
            return Ok(None);
        };
        Ok(Some(TransportParameters::read(
            Side::Server,
            &mut Cursor::new(bytes),
        )?))
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        let keys = match self.inner.as_mut()?.write_hs(out)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.next_secrets = Some(next);
                keys
            }
        };
        Some(as_keys(keys))
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next_secrets.as_mut()?.next_packet_keys();
        Some(KeyPair {
            local: Box::new(keys.local),
            remote: Box::new(keys.remote),
        })
    }

    /// Only servers send such packets.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    /// Nothing here asks for any.
    fn export_keying_material(
        &self,
        _: &mut [u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

impl std::fmt::Debug for QuicTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicTls").finish_non_exhaustive()
    }
}
