//! Hardware without a system.

use std::path::Path;

use lb_model::fleet::RedfishTarget;
use serde::Serialize;
use serde_json::Value;

use crate::event::Events;
use crate::step::Step;
use crate::target::{self, Goal, Left, Refusal};
use crate::wanted::{Owner, Wanted};

/// What a step does to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {}

impl From<Work> for target::Work {
    fn from(work: Work) -> Self {
        Self::Redfish(work)
    }
}

/// The way to it.
#[derive(Debug)]
pub(crate) struct Place;

/// What there is of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observed {
    /// What the balancer says of itself.
    pub status: Option<Value>,
}

/// Why something could not be done to it.
#[derive(Debug, thiserror::Error)]
pub enum RedfishError {
    /// SKELETON
    #[error("skeleton")]
    Skeleton,
}

impl RedfishError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        None
    }
}

impl Place {
    pub(crate) fn new(
        target: &RedfishTarget,
        base: &Path,
        owner: &Owner,
    ) -> Result<Self, RedfishError> {
        let _ = (target, base, owner);
        Err(RedfishError::Skeleton)
    }
}

pub(crate) async fn look(place: &Place, wanted: &Wanted) -> Result<Observed, RedfishError> {
    let _ = (place, wanted);
    Err(RedfishError::Skeleton)
}

pub(crate) fn plan(seen: &Observed, goal: Goal<'_>, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
    let _ = (seen, goal, may_adopt);
    Ok(Vec::new())
}

pub(crate) async fn run(
    place: &Place,
    wanted: &Wanted,
    work: &Work,
    events: &Events,
) -> Result<Left, RedfishError> {
    let _ = (place, wanted, events);
    match *work {}
}

impl Observed {
    pub(crate) fn condition(&self) -> &str {
        "absent"
    }

    pub(crate) fn release(&self) -> Option<String> {
        None
    }

    pub(crate) fn diagnosis(&self) -> Result<String, (String, String)> {
        Ok(String::new())
    }
}
