//! Pools: servers that do the same work, and how the balancer uses them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Balance, HealthCheck, Persistence, ServerTls};
use crate::value::{Name, Period, ServerAddress, Weight};

/// Servers with one balance, one persistence and one health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// What the pool is for, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// The servers, by name.
    #[schemars(extend("x-effect-removed" = "drain"))]
    pub servers: BTreeMap<Name, Server>,
    /// How a server is chosen for a client that has none yet.
    pub balance: Balance,
    /// How a client that comes back is brought to the server it had; when absent, it is balanced
    /// anew every time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// How servers are probed; when absent, they count as up until traffic fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// TLS with servers; when absent, what goes to them is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-effect" = "drain"))]
    pub tls: Option<ServerTls>,
    /// Whether HTTP/2 is spoken with servers. What only HTTP/1.1 can do, Windows authentication and
    /// upgrades to other protocols, is asked of them with HTTP/1.1 in any case.
    pub http2: Http2WithServers,
    /// When live traffic takes a server out for a while.
    pub ejection: Ejection,
    /// How long the share of a server that came up or was enabled grows from nothing to its full
    /// size; when absent, it has its full share at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Period>,
    /// How long a connection to a server may take to open.
    pub connect_timeout: Period,
    /// How long a server may stay silent: before its response begins, and within it.
    pub response_timeout: Period,
    /// How long clients of a draining server keep it; when absent, until their persistence ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<Period>,
    /// How many further servers a request may try when nothing of it has reached a server.
    #[schemars(range(max = 10))]
    pub retries: u8,
    /// The share of requests that may be retried, in percent, so that an outage is not multiplied.
    #[schemars(range(max = 100))]
    pub retry_budget_percent: u8,
    /// Where requests wait while every server is at its limit.
    pub queue: Queue,
    /// How connections to servers are kept and shared.
    pub reuse: Reuse,
}

/// A server of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where the server is reached.
    #[schemars(extend("x-effect" = "drain"))]
    pub address: ServerAddress,
    /// The share of traffic the server gets, relative to the others; 0 gives it no new clients.
    #[serde(default)]
    pub weight: Weight,
    /// Whether the server gets traffic.
    #[serde(default)]
    pub state: ServerState,
    /// The most requests (TCP: connections) at a time; further ones wait in the pool's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: Option<u32>,
}

/// Whether a server gets traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It gets traffic.
    #[default]
    Enabled,
    /// It keeps the clients it has and gets no new ones.
    Draining,
    /// It gets no traffic; what is in progress may finish.
    #[schemars(extend("x-effect" = "drain"))]
    Disabled,
}

/// Whether HTTP/2 is spoken with servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Http2WithServers {
    /// HTTP/1.1 is spoken with all of them.
    #[default]
    Never,
    /// With servers that agree to it when TLS begins (ALPN); the others get HTTP/1.1. Without `tls` all of
    /// them get HTTP/1.1.
    Offered,
    /// With all of them: without `tls` they are taken to know (h2c, by prior knowledge), with `tls` a
    /// server that does not agree gets nothing. gRPC needs this.
    Always,
}

/// When live traffic takes a server out of the pool for a while. The last available server stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ejection {
    /// How many connections in a row must fail to open; 0 switches this off.
    #[schemars(range(max = 1000))]
    pub connect_failures: u16,
    /// How many responses in a row must have a status from 500 to 599; 0 switches this off.
    #[schemars(range(max = 1000))]
    pub server_errors: u16,
    /// How long the server stays out.
    pub duration: Period,
}

/// Where requests wait while every server that could take them is at its `connections_max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// The most requests that wait; further ones are refused with 503.
    #[schemars(range(max = 1_000_000))]
    pub length_max: u32,
    /// How long a request waits before it is refused with 503.
    pub timeout: Period,
}

/// How connections to servers are kept open and shared between clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reuse {
    /// The most idle connections kept for each server by each core; 0 closes them after each request.
    #[schemars(range(max = 10_000))]
    pub idle_max: u16,
    /// How long an idle connection is kept. Stay below what the servers allow: IIS closes after 120 s.
    pub idle_timeout: Period,
    /// How long a connection is used before it is replaced.
    pub age_max: Period,
    /// Which connections belong to one client connection alone.
    pub private: PrivateConnections,
}

/// Which server connections belong to one client connection alone until it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivateConnections {
    /// Every connection.
    Always,
    /// No connection. Only right when no server authenticates connections: otherwise one user gets
    /// the pages of another.
    Never,
    /// Those that carry Windows authentication (NTLM or Negotiate), which binds a user to a
    /// connection.
    #[default]
    WindowsAuth,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            description: None,
            servers: BTreeMap::new(),
            balance: Balance::default(),
            persistence: None,
            health_check: None,
            tls: None,
            http2: Http2WithServers::default(),
            ejection: Ejection::default(),
            slow_start: None,
            connect_timeout: Period::seconds(5),
            response_timeout: Period::seconds(120),
            drain_timeout: None,
            retries: 2,
            retry_budget_percent: 20,
            queue: Queue::default(),
            reuse: Reuse::default(),
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            connect_failures: 3,
            server_errors: 0,
            duration: Period::seconds(10),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            length_max: 1000,
            timeout: Period::seconds(10),
        }
    }
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            idle_max: 512,
            idle_timeout: Period::seconds(60),
            age_max: Period::seconds(3600),
            private: PrivateConnections::default(),
        }
    }
}
