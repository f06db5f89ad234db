//! The server with the fewest requests and connections in progress for its weight.

use super::hash::unit;
use super::{Candidate, Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    let mut least: Option<(u64, &Candidate)> = None;
    let mut equals = 0;
    let mut equal_weight = 0;
    for candidate in field.participants() {
        let load = (field.load)(candidate.index);
        let order = least.map_or(std::cmp::Ordering::Less, |(least_load, least)| {
            compare(load, candidate, least_load, least)
        });
        match order {
            std::cmp::Ordering::Less => {
                least = Some((load, candidate));
                (equals, equal_weight) = (1, candidate.weight);
            }
            std::cmp::Ordering::Equal => {
                equals += 1;
                equal_weight += candidate.weight;
            }
            std::cmp::Ordering::Greater => {}
        }
    }
    let (least_load, first) = least?;
    if equals < 2 {
        return Some(first.index);
    }
    // Equals share by weight too: a quiet pool, where every load is 0, would otherwise ignore it.
    let mut rest = share(field.cursor.number(), equal_weight);
    field
        .participants()
        .filter(|c| compare((field.load)(c.index), c, least_load, first).is_le())
        .find(|c| {
            let found = rest < f64::from(c.weight);
            rest -= f64::from(c.weight);
            found
        })
        .or(Some(first))
        .map(|candidate| candidate.index)
}

/// Which of two servers has less to do for its weight.
pub(super) fn compare(
    load: u64,
    candidate: &Candidate,
    other_load: u64,
    other: &Candidate,
) -> std::cmp::Ordering {
    let own = u128::from(load) * u128::from(other.weight);
    own.cmp(&(u128::from(other_load) * u128::from(candidate.weight)))
}

/// The point of this turn on a line as long as the weights: multiples of the golden ratio fill it
/// more evenly than chance would.
fn share(turn: u64, weight: u32) -> f64 {
    unit(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * f64::from(weight)
}
