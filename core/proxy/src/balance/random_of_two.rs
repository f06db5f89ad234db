//! Two servers at random in proportion to their weights, then the less loaded of the two: nearly as
//! even as least connections, without every balancer running to the same idle server at once.

use super::weighted_least_connections::compare;
use super::{Candidate, Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    let first = draw(field, None)?;
    let Some(second) = draw(field, Some(first.index)) else {
        return Some(first.index);
    };
    let load = |candidate: &Candidate| (field.load)(candidate.index);
    if compare(load(second), second, load(first), first).is_lt() {
        Some(second.index)
    } else {
        Some(first.index)
    }
}

/// One of those that take part, in proportion to weight, but not `other`.
fn draw<'a>(field: &'a Field<'_>, other: Option<ServerIndex>) -> Option<&'a Candidate> {
    let eligible = || field.participants().filter(|c| Some(c.index) != other);
    let total = eligible().map(|c| u64::from(c.weight)).sum();
    let mut rest = field.random.below(total);
    eligible().find(|candidate| {
        let weight = u64::from(candidate.weight);
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })
}
