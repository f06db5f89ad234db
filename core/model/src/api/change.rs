//! Changes: what is asked for, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Revision, Source};
use crate::edit::Edit;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::value::Period;

/// What the configuration should become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// This document, whole.
    Document(Value),
    /// The present one with these edits, all of them or none.
    Edits(Vec<Edit>),
    /// What it was in the revision with this number.
    Rollback(u64),
}

/// Asks what a change would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// What the configuration should become.
    pub change: Wanted,
    /// The revision that the caller thinks is in force; another one refuses the request as stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
}

/// What a change would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanAnswer {
    /// The revision that the plan begins with: the `parent` to apply it with.
    pub parent: u64,
    /// The changes, in order; none when there is nothing to do.
    pub plan: Plan,
    /// What can be used and surely does not do what was meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
}

/// Asks for a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What the configuration should become.
    pub change: Wanted,
    /// The revision that the caller thinks is in force; another one refuses the request as stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub comment: Option<String>,
    /// Go back to the present configuration unless the change is confirmed within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Period>,
    /// What the caller is: `api`, `cli`, `terraform` or `console`.
    #[serde(default)]
    pub source: Source,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyAnswer {
    /// The revision that is in force now; a change that changes nothing makes no new one.
    pub revision: Revision,
    /// What changed.
    pub plan: Plan,
    /// What can be used and surely does not do what was meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
}

/// Goes back to what an earlier revision was, as a new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The number of that revision.
    pub number: u64,
    /// The revision that the caller thinks is in force; another one refuses the request as stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub comment: Option<String>,
    /// Go back to the present configuration unless the change is confirmed within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Period>,
}

/// Keeps a change that would be taken back otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// The number of its revision.
    pub number: u64,
}
