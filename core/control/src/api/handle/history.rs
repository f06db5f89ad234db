//! The history.

use lb_model::api::{ApiError, RevisionAnswer, Revisions};

use super::refusal::refused;
use crate::api::answer::Given;
use crate::api::request::Ask;
use crate::{Controller, Engine};

/// How many revisions are told when nobody says how many.
const PAGE_LENGTH: u64 = 100;

/// The most revisions that are told at a time.
const PAGE_LENGTH_MAX: u64 = 1000;

pub(super) fn revisions<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let before = ask.query_number("before")?;
    let limit = ask.query_number("limit")?.unwrap_or(PAGE_LENGTH);
    let limit = usize::try_from(limit.min(PAGE_LENGTH_MAX)).unwrap_or(usize::MAX);
    Given::json(&Revisions {
        current: controller.current().number,
        revisions: controller.revisions(before, limit),
    })
}

pub(super) fn revision<E: Engine>(
    controller: &Controller<E>,
    ask: &Ask,
) -> Result<Given, ApiError> {
    let (revision, document) = controller
        .revision(ask.number("number")?)
        .map_err(|refusal| refused(controller, refusal))?;
    Given::json(&RevisionAnswer { revision, document })
}
