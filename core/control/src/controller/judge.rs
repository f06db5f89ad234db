//! Whether a proposal may follow what is in force, and what would be in force then. Nothing is
//! written here.

use std::sync::Arc;
use std::time::Duration;

use lb_model::api::{Revision, Source, Timestamp};
use lb_model::validate;

use super::{CONFIRM_MAX, Current, Wanted};
use crate::change::{changed, summary};
use crate::store::NewRevision;
use crate::{Digest, Guard, Proposal, Refused, RevisionRecord};

/// What follows: the new revision with what would be in force, or nothing when nothing changes.
pub(super) type Next = Option<(NewRevision, Current)>;

/// Judges a proposal.
pub(super) fn judge(
    proposal: &Proposal,
    wanted: &Wanted,
    base: &Current,
    number: u64,
    now: Timestamp,
) -> Result<Next, Refused> {
    still_true(proposal.parent, &proposal.guards, base)?;
    let before = base.config.config();
    let after = match wanted {
        Wanted::Document(config) => Arc::clone(config),
        Wanted::Edit(edit) => {
            let config = edit(before).map_err(Refused::Invalid)?;
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
    let changed = changed(before, after.config());
    proposal.author.may_change(&changed)?;
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
            summary: summary(&changed),
            confirm_until,
        },
        digest: Digest::of(&document),
        document_bytes: document.len() as u64,
    });
    let new = NewRevision {
        record: Arc::clone(&record),
        document,
    };
    Ok(Some((new, Current::new(record, after))))
}

/// Whether everything is still as the proposer thought.
pub(super) fn still_true(
    parent: Option<u64>,
    guards: &[Guard],
    base: &Current,
) -> Result<(), Refused> {
    if let Some(parent) = parent.filter(|parent| *parent != base.number) {
        let current = base.number;
        return Err(Refused::Stale { parent, current });
    }
    let config = base.config.config();
    match guards.iter().find(|guard| !guard.holds(config)) {
        Some(guard) => Err(Refused::Guarded {
            guard: guard.clone(),
            now: guard.object().etag(config),
        }),
        None => Ok(()),
    }
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
