//! Health checks: when and how often a server is probed, and what is sent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{HeaderName, HeaderText, Method, Pattern, Period, StatusRange, UrlPath};

/// When a server counts as up or down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Time between two probes of a server; each one is moved by up to a tenth so that many balancers
    /// do not probe at once.
    pub interval: Period,
    /// How long a probe may take before it has failed.
    pub timeout: Period,
    /// How many probes in a row must pass before a server that was down is up.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u8,
    /// How many probes in a row must fail before a server that was up is down.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u8,
    /// The port to probe, when it is not the server's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// What is sent, and which answer passes.
    pub probe: Probe,
}

/// What a health check sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// An HTTP request; its status, and if wished its body, decide.
    Http(HttpProbe),
    /// A gRPC request of the health protocol (`grpc.health.v1`); the service has to be `SERVING`.
    Grpc(GrpcProbe),
    /// A TCP connection; if wished, the first bytes that the server sends decide.
    Tcp(TcpProbe),
}

/// A probe over HTTP, on a connection of its own: HTTP/2 when the pool speaks it `always`, HTTP/1.1
/// otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpProbe {
    /// The request method; `HEAD` when the body does not matter.
    pub method: Method,
    /// The path, with a query if the server needs one.
    pub path: UrlPath,
    /// The `Host` header; the server's address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HeaderText>,
    /// Further header fields of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<HeaderName, HeaderText>,
    /// The statuses that pass. List 401 for a site with Windows authentication: it answers an
    /// anonymous probe with 401 when it is well.
    #[schemars(length(min = 1))]
    pub expect: Vec<StatusRange>,
    /// A regular expression that the first 64 KiB of the body must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Pattern>,
}

/// A probe by the health protocol of gRPC, over HTTP/2 on a connection of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcProbe {
    /// The service that is asked about; the server as a whole when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service: Option<String>,
    /// The host that is asked for; the server's address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HeaderText>,
}

/// A probe that opens a TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpProbe {
    /// Text to send once connected, with the escapes of the document's own syntax.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub send: Option<String>,
    /// A regular expression that the first 4 KiB of the server's answer must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            interval: Period::seconds(5),
            timeout: Period::seconds(2),
            rise: 2,
            fall: 3,
            port: None,
            probe: Probe::Tcp(TcpProbe::default()),
        }
    }
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            method: "GET".parse().expect("a method"),
            path: "/".parse().expect("a path"),
            host: None,
            headers: BTreeMap::new(),
            expect: StatusRange::new(200, 299).into_iter().collect(),
            body: None,
        }
    }
}
