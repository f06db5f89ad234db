//! Whether a proposal may follow what is in force, and what would be in force then. Nothing is
//! written here.

use std::sync::Arc;
use std::time::Duration;

use lb_model::api::{Revision, Source, Timestamp};
use lb_model::plan::Plan;
use lb_model::validate;

use super::narrow::{edited, value};
use super::{CONFIRM_MAX, Current, Wanted};
use crate::store::NewRevision;
use crate::{Digest, Etag, Proposal, Refused, RevisionRecord};

/// What follows, when something changes.
pub(super) struct Next {
    pub(super) revision: NewRevision,
    pub(super) current: Current,
    pub(super) plan: Plan,
}

/// Judges a proposal.
pub(super) fn judge(
    proposal: &Proposal,
    wanted: &Wanted,
    base: &Current,
    number: u64,
    now: Timestamp,
) -> Result<Option<Next>, Refused> {
    still_true(proposal, base)?;
    let before = base.config.config();
    let after = match wanted {
        Wanted::Document(config) => Arc::clone(config),
        Wanted::Edits(edits) => {
            let config = edited(before, edits).map_err(Refused::Invalid)?;
            if config == *before {
                return Ok(None);
            }
            Arc::new(validate(config).map_err(Refused::Invalid)?)
        }
    };
    let is_first = base.number == 0;
    if after.config() == before && !is_first {
        return Ok(None);
    }
    let plan = Plan::between(before, after.config());
    proposal.author.may_make(&plan)?;
    let confirm_until = proposal
        .confirm
        .map(|time| deadline(now, time))
        .transpose()?;
    // The balancer itself and whoever goes back end the waiting; others would build on something
    // that may be gone in a moment.
    if let Some(until) = base.revision.confirm_until
        && !ends_waiting(proposal)
    {
        let number = base.number;
        return Err(Refused::Awaiting { number, until });
    }
    let document = serde_json::to_vec(after.config()).unwrap_or_default();
    let record = Arc::new(RevisionRecord {
        revision: Revision {
            number,
            parent: (!is_first).then_some(base.number),
            made_at: now,
            author: proposal.author.name.clone(),
            source: proposal.source,
            comment: proposal.comment.clone(),
            summary: plan.summary(),
            confirm_until,
        },
        digest: Digest::of(&document),
        document_bytes: document.len() as u64,
    });
    Ok(Some(Next {
        revision: NewRevision {
            record: Arc::clone(&record),
            document,
        },
        current: Current::new(record, after),
        plan,
    }))
}

/// Whether everything is still as the proposer thought.
pub(super) fn still_true(proposal: &Proposal, base: &Current) -> Result<(), Refused> {
    if let Some(parent) = proposal.parent.filter(|parent| *parent != base.number) {
        let current = base.number;
        return Err(Refused::Stale { parent, current });
    }
    for (path, expected) in &proposal.expected {
        let found = value(base.config.config(), path);
        let found = found.map(|value| Etag::of(&value));
        if !expected.holds(found.as_ref()) {
            let object = path.clone();
            return Err(Refused::Guarded { object, found });
        }
    }
    Ok(())
}

fn ends_waiting(proposal: &Proposal) -> bool {
    matches!(proposal.source, Source::Rollback | Source::Revert)
}

fn deadline(now: Timestamp, time: Duration) -> Result<Timestamp, Refused> {
    if time < Duration::from_secs(1) || time > CONFIRM_MAX {
        return Err(Refused::ConfirmTime(time));
    }
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Timestamp::from_unix_millis(
        now.unix_millis().saturating_add(millis),
    ))
}
