//! The balance algorithms that an operator may choose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a pool chooses a server for a client that has none yet.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each server in turn, whatever its weight.
    #[default]
    RoundRobin,
    /// Each server in turn, as often as its weight says, evenly spread.
    WeightedRoundRobin,
    /// The server with the fewest requests and connections in progress.
    LeastConnections,
    /// The server with the fewest requests and connections in progress for its weight.
    WeightedLeastConnections,
    /// The available server with the highest weight; the others wait until it fails.
    FixedWeighting,
    /// Two servers at random in proportion to their weights, then the less loaded of the two.
    RandomOfTwo,
    /// The same server for the same client address; when a server leaves, only its clients move.
    SourceHash,
}

impl Balance {
    /// Every algorithm, for tests and help that must cover them all.
    pub const ALL: [Self; 7] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::WeightedLeastConnections,
        Self::FixedWeighting,
        Self::RandomOfTwo,
        Self::SourceHash,
    ];
}
