//! TLS with the servers of one pool, as its document describes it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_model::config::ServerTls;
use lb_model::value::Name;
use rustc_hash::FxHashMap;
use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
use tokio::time::Instant as Deadline;

use super::handshake::{self, HandshakeError};
use super::material::Material;
use super::service::{provider, versions};
use super::stream::TlsStream;
use super::verify::verifier;
use crate::stream::Stream as _;

/// Sessions that are remembered for each server.
const SESSIONS_MAX: usize = 8;
/// The most servers whose sessions are remembered; there are that many only after many changes.
const SERVERS_MAX: usize = 20_000;
/// How often a refusal is told, at most.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A connection to a server that speaks TLS. On the heap: it is much larger than one that does not, and
/// those wait by the thousand.
pub(crate) type ServerTlsStream = Box<TlsStream<UnbufferedClientConnection>>;

/// Which versions of HTTP a server is asked to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Speak {
    /// HTTP/1.1, or something else that needs no agreement.
    Http1,
    /// HTTP/2 if the server agrees.
    Either,
    /// HTTP/2.
    Http2,
}

impl Speak {
    /// What is offered (RFC 7301).
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => Vec::new(),
            Self::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// TLS with the servers of one pool.
#[derive(Debug)]
pub(crate) struct ServersTls {
    /// Distinguishes it from every other that ever was; never 0.
    id: u64,
    pool: Name,
    config: ClientConfig,
    /// The name that every server is asked for.
    name: Option<ServerName<'static>>,
    /// What each server remembers us by: a session is of no use to another one.
    servers: Mutex<FxHashMap<(SocketAddr, Speak), Arc<ClientConfig>>>,
    told: Mutex<Option<Instant>>,
}

impl ServersTls {
    /// What the document of a pool describes; none when it cannot be had, and then nothing may go to
    /// its servers.
    pub(crate) fn build(pool: &Name, model: &ServerTls, material: &Material) -> Option<Arc<Self>> {
        match config(model, material) {
            Ok(config) => Some(Arc::new(Self {
                id: next_id(),
                pool: pool.clone(),
                config,
                name: model.server_name.as_ref().and_then(|name| {
                    let name = ServerName::try_from(name.as_str().to_owned());
                    name.ok()
                }),
                servers: Mutex::default(),
                told: Mutex::default(),
            })),
            Err(reason) => {
                tracing::error!(%pool, reason, "TLS cannot be spoken with servers; they get nothing");
                None
            }
        }
    }

    /// Whether both sets of material hold the same for this document.
    pub(crate) fn same_material(model: &ServerTls, one: &Material, other: &Material) -> bool {
        let of_system = model.authorities.is_empty() && model.pins.is_empty() && !model.insecure;
        let own = model.certificate.iter();
        own.into_iter()
            .all(|name| one.same_certificate(other, name))
            && model
                .authorities
                .iter()
                .all(|name| one.same_authority(other, name))
            && (!of_system || Arc::ptr_eq(&one.system, &other.system))
    }

    /// Distinguishes what connections were opened with.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Whether each server is asked for the host that the client asked for.
    pub(crate) const fn follows_client(&self) -> bool {
        self.name.is_none()
    }

    /// Speaks TLS with a server, until the deadline. `host` is what the client asked for.
    ///
    /// # Errors
    /// Among others, the server is not who it should be.
    pub(crate) async fn connect(
        &self,
        socket: TcpStream,
        (server, address): (&Name, SocketAddr),
        (host, speak): (Option<&str>, Speak),
        until: Deadline,
    ) -> Result<ServerTlsStream, HandshakeError> {
        let name = self.name_for(host, address);
        let shaking = handshake::connect(socket, self.config_of(address, speak), name, until);
        let spoken = Box::pin(shaking).await.and_then(|stream| {
            if speak == Speak::Http2 && !stream.tls().is_some_and(|tls| tls.http2) {
                return Err(HandshakeError::NoHttp2);
            }
            Ok(stream)
        });
        match spoken {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                self.tell(server, address, &error);
                Err(error)
            }
        }
    }

    /// What a server is asked for, and its certificate must be for.
    fn name_for(&self, host: Option<&str>, address: SocketAddr) -> ServerName<'static> {
        let of_client = || {
            let host = host?.trim_start_matches('[').trim_end_matches(']');
            ServerName::try_from(host.to_owned()).ok()
        };
        self.name
            .clone()
            .or_else(of_client)
            .unwrap_or_else(|| ServerName::IpAddress(address.ip().into()))
    }

    fn config_of(&self, address: SocketAddr, speak: Speak) -> Arc<ClientConfig> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= SERVERS_MAX {
            servers.clear();
        }
        let new = || {
            let mut config = self.config.clone();
            config.alpn_protocols = speak.protocols();
            config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
            Arc::new(config)
        };
        Arc::clone(servers.entry((address, speak)).or_insert_with(new))
    }

    fn tell(&self, server: &Name, address: SocketAddr, error: &HandshakeError) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.duration_since(at) < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        let pool = &self.pool;
        let reason = error.cause();
        let help = error.help();
        tracing::warn!(%pool, %server, %address, reason, help, "no TLS with a server");
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn config(model: &ServerTls, material: &Material) -> Result<ClientConfig, String> {
    // Without `..`: a field that is added to the model does not compile until it is used.
    let ServerTls {
        authorities: _,
        server_name: _,
        pins: _,
        insecure: _,
        certificate,
        policy,
    } = model;
    let provider = provider();
    let verifier = verifier(model, material, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(*policy))
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let own = material.certificates.get(name);
            let own = own.ok_or_else(|| format!("the certificate `{name}` could not be loaded"))?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(own))))
        }
    };
    config.enable_early_data = false;
    Ok(config)
}
