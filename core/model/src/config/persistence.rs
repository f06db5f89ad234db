//! Persistence: how a client that comes back is brought to the server it had.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{HeaderName, HeaderText, Period, PrefixV4, PrefixV6};

/// How the server of a client is remembered. It is looked up on every request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Persistence {
    /// A cookie of the balancer's own that names the server. It needs no memory and survives a
    /// restart. The usual choice for web applications.
    Cookie(CookiePersistence),
    /// A cookie that the servers set, such as `ASP.NET_SessionId`: its value is remembered with the
    /// server that set it.
    PassiveCookie(PassiveCookiePersistence),
    /// The address of the client. Clients behind one proxy or address translation count as one.
    Source(SourcePersistence),
}

/// Persistence by a cookie that the balancer sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CookiePersistence {
    /// The name of the cookie. No server may use the same name.
    pub name: HeaderName,
    /// The `Domain` attribute; when absent, the cookie is for the host of the request alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<HeaderText>,
    /// The `Path` attribute.
    pub path: HeaderText,
    /// Whether the cookie is only sent over HTTPS.
    pub secure: bool,
    /// Whether scripts in the page cannot read the cookie.
    pub http_only: bool,
    /// The `SameSite` attribute; browsers treat an absent one as `lax`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_site: Option<SameSite>,
    /// How long the browser keeps the cookie; when absent, until it closes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// Where to look when a request has no such cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<SourcePersistence>,
}

/// Persistence by a cookie that the servers set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassiveCookiePersistence {
    /// The name of the cookie, such as `ASP.NET_SessionId`.
    pub name: HeaderName,
    /// How long a value is remembered after its last use.
    #[serde(default = "session_timeout")]
    pub timeout: Period,
    /// The most values to remember; the one used longest ago makes room.
    #[serde(default = "entries_max")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub entries_max: u32,
    /// Where to look when a request has no such cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<SourcePersistence>,
}

/// Persistence by client address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourcePersistence {
    /// How long an address is remembered after its last use.
    pub timeout: Period,
    /// How many leading bits of an IPv4 address identify a client.
    pub ipv4_prefix: PrefixV4,
    /// How many leading bits of an IPv6 address identify a client.
    pub ipv6_prefix: PrefixV6,
    /// The most addresses to remember; the one used longest ago makes room.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub entries_max: u32,
}

/// The `SameSite` attribute of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Sent on requests from the same site and when a link leads here.
    Lax,
    /// Sent on every request; browsers then require `secure`.
    None,
    /// Sent on requests from the same site only.
    Strict,
}

fn session_timeout() -> Period {
    Period::seconds(20 * 60)
}

fn entries_max() -> u32 {
    100_000
}

impl Default for CookiePersistence {
    fn default() -> Self {
        Self {
            name: "LB".parse().expect("a header name"),
            domain: None,
            path: "/".parse().expect("a header text"),
            secure: false,
            http_only: true,
            same_site: None,
            max_age: None,
            fallback: None,
        }
    }
}

impl Default for SourcePersistence {
    fn default() -> Self {
        Self {
            timeout: session_timeout(),
            ipv4_prefix: PrefixV4::default(),
            ipv6_prefix: PrefixV6::default(),
            entries_max: entries_max(),
        }
    }
}
