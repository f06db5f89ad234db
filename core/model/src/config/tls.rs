//! TLS with clients and with servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Fingerprint, Name, ServerName};

/// TLS with clients: the balancer decrypts what they send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// The certificates that clients may see. The host that a client asks for decides; of several
    /// with that name, ECDSA goes before RSA where the client knows it.
    #[schemars(length(min = 1, max = 10_000))]
    pub certificates: Vec<Name>,
    /// What clients get that ask for a host of no certificate, or for none.
    #[serde(default)]
    pub unknown_host: UnknownHost,
    /// Which versions and ciphers are spoken.
    #[serde(default)]
    pub policy: TlsPolicy,
    /// Certificates that clients show; when absent, they are not asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<ClientCertificates>,
    /// Header fields that tell servers about the TLS connection. What a client sent under these
    /// names never reaches a server.
    #[serde(default)]
    pub headers: TlsHeaders,
    /// `Strict-Transport-Security` (RFC 6797) in every response; when absent, the balancer sends
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Whether `Location` and `Content-Location` of responses that name this host with `http` are
    /// given `https`: servers that get plain HTTP do not know better.
    #[serde(default = "yes")]
    pub rewrite_location: bool,
}

/// What clients get that ask for a host of no certificate, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownHost {
    /// The first certificate of the list.
    #[default]
    First,
    /// The alert `unrecognized_name`, and a closed connection.
    Refuse,
}

/// Which versions and ciphers of TLS are spoken. Every one of them has forward secrecy, and the key
/// exchange resists quantum computers with those that know X25519MLKEM768.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsPolicy {
    /// TLS 1.3, and TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305: browsers since 2014,
    /// Windows since 8.1 with updates.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

/// Certificates that clients show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// The authorities that must have signed them, directly or through others.
    #[schemars(length(min = 1, max = 100))]
    pub authorities: Vec<Name>,
    /// Whether a client without a certificate is refused. One with a certificate that is not valid
    /// always is.
    #[serde(default = "yes")]
    pub required: bool,
}

/// Header fields that tell servers about the TLS connection of the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsHeaders {
    /// `X-ARR-ClientCert`: the certificate of the client, as base64, as IIS and ASP.NET Core read it.
    pub x_arr_client_cert: bool,
    /// `X-SSL-Client-Verify`, `X-SSL-Client-Subject`, `X-SSL-Client-Issuer`, `X-SSL-Client-Serial`
    /// and `X-SSL-Client-SHA256`: the certificate of the client in words.
    pub x_ssl_client: bool,
    /// `X-SSL-Protocol`, `X-SSL-Cipher` and `X-SSL-Server-Name`: how the client is connected.
    pub x_ssl_session: bool,
}

/// What browsers are told: to use nothing but https for this host (RFC 6797).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hsts {
    /// How many days browsers keep to it; 0 makes them forget it.
    #[schemars(range(max = 3650))]
    pub max_age_days: u16,
    /// Whether it holds for every host below this one, too.
    pub include_subdomains: bool,
    /// Whether browsers may put the host into the list that they are shipped with. It takes months to
    /// undo.
    pub preload: bool,
}

/// TLS with servers. Without `authorities` and `pins` a server must show a certificate that the
/// authorities of the balancer's system vouch for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTls {
    /// The authorities that vouch for servers, instead of those of the system.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub authorities: Vec<Name>,
    /// The name that servers are asked for, and that their certificate must have. When absent, it is
    /// the host that the client asked for; where there is none, as in a probe, the address of the
    /// server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<ServerName>,
    /// The only certificates that servers may show: the SHA-256 of the certificate, or of its public
    /// key. Without `authorities`, nothing else of them is looked at, so that a certificate that
    /// nobody vouches for will do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub pins: Vec<Fingerprint>,
    /// `true`: any certificate of a server will do. Whoever gets between the balancer and the server
    /// reads and changes everything.
    pub insecure: bool,
    /// The certificate that servers see of the balancer, if they ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Name>,
    /// Which versions and ciphers are spoken.
    pub policy: TlsPolicy,
}

fn yes() -> bool {
    true
}

impl Default for TlsHeaders {
    fn default() -> Self {
        Self {
            x_arr_client_cert: true,
            x_ssl_client: false,
            x_ssl_session: false,
        }
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self {
            max_age_days: 365,
            include_subdomains: false,
            preload: false,
        }
    }
}
