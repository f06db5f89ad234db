//! Virtual services: what clients connect to, and what happens to their traffic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClientTls, FixedResponse, Redirect, Rule};
use crate::value::{Cidr, ListenAddress, Name, Period};

/// An address that clients use, and what happens to their traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of the document with a meaning of its own"
)]
pub struct VirtualService {
    /// What the virtual service is for, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Whether clients can connect.
    #[schemars(extend("x-effect" = "rebind"))]
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where clients connect to.
    #[schemars(extend("x-effect" = "rebind"))]
    pub address: ListenAddress,
    /// What clients speak.
    #[serde(default)]
    #[schemars(extend("x-effect" = "drain"))]
    pub protocol: Protocol,
    /// TLS with clients; when absent, what they send is not encrypted, or not decrypted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClientTls>,
    /// `true`: every request is sent to `https` of the same host, on port 443, and reaches no server.
    #[serde(default)]
    pub redirect_to_https: bool,
    /// Whether HTTP/2 is spoken with clients that ask for it when they connect: by ALPN in TLS, and
    /// without TLS by what they say first (h2c, by prior knowledge). Others speak HTTP/1.1.
    #[serde(default = "yes")]
    pub http2: bool,
    /// Whether HTTP/3 is spoken with clients, too: over UDP, at the same address and port. It needs `tls`.
    /// Clients learn of it from answers over TCP (`Alt-Svc`).
    #[serde(default)]
    #[schemars(extend("x-effect" = "drain"))]
    pub http3: bool,
    /// The pool for traffic that no rule decides on; when absent, such traffic is refused (HTTP: 404).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// What happens to which requests, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub rules: Vec<Rule>,
    /// What clients get while no server of a pool is available; when absent, HTTP clients get a plain
    /// 503 and TCP clients a closed connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
    /// What servers are told about the client.
    #[serde(default)]
    pub forwarded: ForwardedHeaders,
    /// How long clients may take.
    #[serde(default)]
    pub timeouts: ClientTimeouts,
    /// How large the header of a request may be.
    #[serde(default)]
    pub head: HeadLimits,
    /// The most client connections at a time; further ones wait in the system's backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_max: Option<u32>,
}

/// What clients of a virtual service speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/3, HTTP/2, HTTP/1.1 and HTTP/1.0: each request is balanced by itself.
    #[default]
    Http,
    /// Any protocol over TCP: each connection is balanced as a whole.
    Tcp,
    /// TLS that is passed to servers as it is. Rules see what the client asks for in the open: the host
    /// (SNI) and the protocols that it offers (ALPN).
    Tls,
}

/// What clients get while no server is available.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Unavailable {
    /// `true`: the connection is closed without an answer.
    Close(bool),
    /// The servers of another pool (sorry servers).
    Pool(Name),
    /// Another place.
    Redirect(Redirect),
    /// A page of the balancer's own.
    Respond(FixedResponse),
}

/// Header fields that tell servers about the client. What a client sent under these names reaches a
/// server only when the client is in a `trusted` network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardedHeaders {
    /// `X-Forwarded-For`: the address of the client.
    pub x_forwarded_for: ForwardedMode,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub x_forwarded_proto: ForwardedMode,
    /// `X-Forwarded-Host`: the host that the client asked for.
    pub x_forwarded_host: ForwardedMode,
    /// `X-Forwarded-Port`: the port that the client connected to.
    pub x_forwarded_port: ForwardedMode,
    /// `Forwarded` (RFC 7239): address, host and protocol in one field.
    pub forwarded: ForwardedMode,
    /// Networks of proxies in front whose header fields of these names are believed. The client
    /// address for rules, persistence and the access log is then the last one in `X-Forwarded-For`
    /// that is not in these networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<Cidr>,
}

/// What becomes of one of the header fields that tell servers about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedMode {
    /// Ours is added after what a trusted proxy sent.
    Append,
    /// Ours is not sent; what a trusted proxy sent is kept.
    #[default]
    Off,
    /// Ours replaces whatever was sent.
    Replace,
    /// Ours is sent when a trusted proxy sent none.
    Set,
}

/// How long clients may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTimeouts {
    /// How long the header of a request may take, from its first byte to its last.
    pub header: Period,
    /// How long a connection may be idle between requests. TCP: how long it may carry nothing.
    pub idle: Period,
    /// How long an upgraded connection, such as a WebSocket, may carry nothing.
    pub tunnel: Period,
    /// The slowest a request body may arrive, or a response be taken, in bytes per second, measured
    /// over 10 seconds; 0 allows any rate.
    #[schemars(range(max = 1_000_000))]
    pub body_rate_min: u32,
}

/// How large the header of a request may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeadLimits {
    /// The most bytes of request line and header fields together. Kerberos tickets need up to 64 KiB
    /// in one field.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub bytes_max: u32,
    /// The most header fields.
    #[schemars(range(min = 8, max = 1024))]
    pub fields_max: u16,
    /// The longest request target, in bytes.
    #[schemars(range(min = 128, max = 1_048_576))]
    pub target_bytes_max: u32,
}

fn yes() -> bool {
    true
}

impl Default for ForwardedHeaders {
    fn default() -> Self {
        Self {
            x_forwarded_for: ForwardedMode::Append,
            x_forwarded_proto: ForwardedMode::Set,
            x_forwarded_host: ForwardedMode::Set,
            x_forwarded_port: ForwardedMode::Set,
            forwarded: ForwardedMode::Off,
            trusted: Vec::new(),
        }
    }
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            header: Period::seconds(10),
            idle: Period::seconds(60),
            tunnel: Period::seconds(3600),
            body_rate_min: 240,
        }
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes_max: 128 * 1024,
            fields_max: 128,
            target_bytes_max: 16 * 1024,
        }
    }
}
