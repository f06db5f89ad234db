//! TLS of one virtual service, as its document describes it.

use std::sync::Arc;

use lb_model::config::{ClientCertificates, ClientTls, Hsts, TlsHeaders, TlsPolicy, UnknownHost};
use lb_model::value::Name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::material::Material;
use super::quic::QuicTls;
use super::resolver::Resolver;
use super::ticket::{TicketKeys, Ticketer};
use crate::challenge;

/// TLS of one virtual service.
#[derive(Debug)]
pub(crate) struct ServiceTls {
    pub(crate) config: Arc<ServerConfig>,
    /// The same inside QUIC.
    pub(crate) quic: Option<Arc<QuicTls>>,
    /// The header line that makes browsers keep to https; empty when there is none.
    pub(crate) hsts: Box<[u8]>,
    pub(crate) rewrite_location: bool,
    /// What servers are told about the connection of the client.
    pub(crate) headers: TlsHeaders,
}

impl ServiceTls {
    /// What the document of a virtual service describes. What cannot be had makes its handshakes
    /// fail.
    pub(crate) fn build(
        name: &Name,
        model: &ClientTls,
        protocols: &[&[u8]],
        material: &Material,
        keys: &Arc<TicketKeys>,
    ) -> Option<Self> {
        // Without `..`: a field that is added to the model does not compile until it is used.
        let ClientTls {
            certificates,
            unknown_host,
            policy,
            client_certificates,
            headers,
            hsts,
            rewrite_location,
        } = model;
        let shown: Vec<_> = certificates
            .iter()
            .filter_map(|name| material.certificates.get(name).cloned())
            .collect();
        let resolver = Resolver::new(
            &shown,
            *unknown_host == UnknownHost::Refuse,
            Arc::clone(&material.challenges),
        );
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(*policy));
        let verifier = client_verifier(client_certificates.as_ref(), material, &provider);
        let config = builder
            .map_err(|error| error.to_string())
            .and_then(|builder| Ok(builder.with_client_cert_verifier(verifier?)));
        let mut config = match config {
            Ok(builder) => builder.with_cert_resolver(Arc::new(resolver)),
            Err(reason) => {
                tracing::error!(virtual_service = %name, reason, "TLS cannot be spoken");
                return None;
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        if !protocols.is_empty() {
            config.alpn_protocols.push(challenge::ALPN.to_vec());
        }
        let identity = identity(name, client_certificates.as_ref());
        config.ticketer = Arc::new(Ticketer::new(Arc::clone(keys), identity));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        // All that is spoken is strong, so this is about what auditors look for, and about AES, which
        // costs servers least.
        config.ignore_client_order = true;
        Some(Self {
            quic: QuicTls::build(&config).map(Arc::new),
            config: Arc::new(config),
            hsts: hsts.as_ref().map(hsts_line).unwrap_or_default(),
            rewrite_location: *rewrite_location,
            headers: headers.clone(),
        })
    }

    /// Whether both sets of material hold the same for this document.
    pub(crate) fn same_material(model: &ClientTls, one: &Material, other: &Material) -> bool {
        let same = |name| one.same_certificate(other, name);
        let client = model.client_certificates.iter();
        model.certificates.iter().all(same)
            && client
                .flat_map(|client| &client.authorities)
                .all(|name| one.same_authority(other, name))
    }
}

/// The algorithms that are spoken, the best first: key exchange that resists quantum computers where
/// the peer knows it, and nothing without forward secrecy.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// The versions that are spoken, the best first.
pub(crate) fn versions(policy: TlsPolicy) -> &'static [&'static SupportedProtocolVersion] {
    static INTERMEDIATE: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static MODERN: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match policy {
        TlsPolicy::Intermediate => &INTERMEDIATE,
        TlsPolicy::Modern => &MODERN,
    }
}

/// Who checks certificates of clients.
fn client_verifier(
    model: Option<&ClientCertificates>,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some(ClientCertificates {
        authorities,
        required,
    }) = model
    else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    let mut lists = Vec::new();
    for name in authorities {
        let Some(authority) = material.authorities.get(name) else {
            return Err(format!("the authority `{name}` could not be loaded"));
        };
        let (_added, _unusable) =
            roots.add_parsable_certificates(authority.certificates.iter().cloned());
        lists.extend(authority.revocation_lists.iter().cloned());
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = builder.with_crls(lists).allow_unknown_revocation_status();
    let builder = if *required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(|error| {
        format!("certificates of clients cannot be checked with these authorities: {error}")
    })
}

/// What tickets are bound to.
fn identity(name: &Name, client: Option<&ClientCertificates>) -> Box<[u8]> {
    let demands = client.map(|client| (client.required, &client.authorities));
    // Unambiguous: names have no quotes.
    format!("{:?} {demands:?}", name.as_str())
        .into_bytes()
        .into()
}

fn hsts_line(hsts: &Hsts) -> Box<[u8]> {
    let Hsts {
        max_age_days,
        include_subdomains,
        preload,
    } = hsts;
    let seconds = u32::from(*max_age_days) * 24 * 3600;
    let subdomains = if *include_subdomains {
        "; includeSubDomains"
    } else {
        ""
    };
    let preload = if *preload { "; preload" } else { "" };
    format!("Strict-Transport-Security: max-age={seconds}{subdomains}{preload}\r\n")
        .into_bytes()
        .into()
}
