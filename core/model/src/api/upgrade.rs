//! A new program takes over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which program serves, and how far an upgrade is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradeAnswer {
    /// The version that serves.
    pub version: String,
    /// The process that serves.
    pub process: u32,
    /// How far an upgrade is. The program that has taken over says `idle`.
    pub state: UpgradeState,
}

/// How far an upgrade is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeState {
    /// Nobody wants one.
    Idle,
    /// It is under way.
    Requested,
    /// It was tried, and the same program as before serves on.
    Failed {
        /// Why.
        reason: String,
    },
}
