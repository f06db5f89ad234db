//! The history of a balancer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::config::Config;

/// Where a change came from.
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
pub enum Source {
    /// The document that the balancer was started with, or that it was told to read again.
    File,
    /// A program that speaks to the admin API.
    #[default]
    Api,
    /// The command line.
    Cli,
    /// Terraform.
    Terraform,
    /// The web console.
    Console,
    /// Somebody went back to an earlier revision.
    Rollback,
    /// The balancer itself went back, as nobody confirmed a change in time.
    Revert,
}

impl Source {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Terraform => "terraform",
            Self::Console => "console",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
        }
    }
}

/// One revision: a document that has been in force, and how it came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Its number; each is one more than that of the revision made before it.
    pub number: u64,
    /// The revision that it changed; the first one has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// When it was made.
    pub made_at: Timestamp,
    /// Who made it: a user of the machine, or the name of a token.
    pub author: String,
    /// Where it came from.
    pub source: Source,
    /// Why, in the words of its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What it changed, in one line, such as `~ pools.web.servers.iis1.weight`.
    pub summary: String,
    /// Until when it must be confirmed; without that the balancer goes back to its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<Timestamp>,
}

/// A part of the history, the newest revision first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revisions {
    /// The revision in force.
    pub current: u64,
    /// Revisions, the newest first.
    pub revisions: Vec<Revision>,
}

/// A revision with its document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevisionAnswer {
    /// How it came to be.
    pub revision: Revision,
    /// The document.
    pub document: Config,
}
