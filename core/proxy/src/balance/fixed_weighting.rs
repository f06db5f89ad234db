//! The available server with the highest weight, by name among equals: an order of failover.

use super::{Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    field
        .participants()
        .reduce(|best, candidate| {
            if candidate.weight > best.weight {
                candidate
            } else {
                best
            }
        })
        .map(|candidate| candidate.index)
}
