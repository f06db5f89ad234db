//! What the whole balancer may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of the whole balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most client connections at a time over all virtual services; further ones wait in the
    /// system's backlog. When absent, as many as the limit on open files allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_max: Option<u32>,
}
