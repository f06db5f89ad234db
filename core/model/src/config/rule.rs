//! Rules: which requests, and what happens to them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{
    AlpnName, Cidr, HeaderName, HeaderText, HostPattern, LocationTemplate, Method, Name, Pattern,
    StatusCode, UrlPath,
};

/// One rule of a virtual service. Rules are tried in order; the first that matches and has an action
/// decides. A rule without an action edits headers and lets the next rules decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name of the rule, unique in its virtual service.
    pub name: Name,
    /// Which requests the rule is for; when absent, all.
    #[serde(default, rename = "match", skip_serializing_if = "Match::is_any")]
    pub matches: Match,
    /// What happens to a request that matches; when absent, the next rules decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Changes to the header of the request before it goes to a server.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    /// Changes to the header of the response before it goes to the client.
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
}

/// The conditions of a rule. All that are given must hold; within a list, one is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The host that the request names, or with `protocol = "tls"` the one that the client asks for
    /// (SNI).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<HostPattern>,
    /// The path, without the query, as the client sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The request method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub method: Vec<Method>,
    /// Header fields, by name; each one that is listed must match.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<HeaderName, HeaderMatch>,
    /// The network of the client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Cidr>,
    /// The protocols that the client offers behind TLS (ALPN); only with `protocol = "tls"`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<AlpnName>,
}

/// A condition on the path of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PathMatch {
    /// The whole path is this.
    Exact(UrlPath),
    /// The path starts with this.
    Prefix(UrlPath),
    /// The regular expression is found in the path.
    Regex(Pattern),
}

/// A condition on a header field; with several fields of one name, one is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HeaderMatch {
    /// The whole value is this.
    Exact(HeaderText),
    /// The value starts with this.
    Prefix(HeaderText),
    /// `true`: the field is there; `false`: it is not.
    Present(bool),
    /// The regular expression is found in the value.
    Regex(Pattern),
}

/// What happens to a request that matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// It goes to this pool.
    Pool(Name),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The balancer answers by itself.
    Respond(FixedResponse),
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Where to.
    pub location: LocationTemplate,
    /// 301 and 308 are permanent, 302, 303 and 307 are not; 307 and 308 keep the method.
    #[serde(default = "found")]
    pub status: StatusCode,
}

/// An answer of the balancer's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedResponse {
    /// The status, 200 to 599.
    pub status: StatusCode,
    /// The `Content-Type` of the body.
    #[serde(default = "plain_text")]
    pub content_type: HeaderText,
    /// The body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65536))]
    pub body: String,
}

/// Changes to a header: first `remove`, then `set`, then `add`. Fields that frame the message or
/// belong to one connection cannot be changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Fields to take out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<HeaderName>,
    /// Fields to have once with this value, instead of what was there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<HeaderName, HeaderText>,
    /// Fields to have in addition to what was there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<HeaderName, HeaderText>,
}

fn found() -> StatusCode {
    StatusCode::new(302).expect("a status")
}

fn plain_text() -> HeaderText {
    "text/plain; charset=utf-8".parse().expect("a header text")
}

impl Match {
    /// Whether there is no condition: every request matches.
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
