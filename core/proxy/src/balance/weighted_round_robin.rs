//! Each server in turn, as often as its weight says, evenly spread (NGINX's smooth order: weights
//! 5, 1, 1 give a a b a c a a, not a a a a a b c).

use super::{Candidate, Field, ServerIndex};

/// The longest order. Weights with a greater sum are scaled down to it, which moves a share by less
/// than one part in eight thousand.
const TURNS_MAX: u64 = 8192;

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    let count = field.turns.len();
    let start = field.cursor.of(count);
    let (after, before) = field.turns.split_at_checked(start)?;
    before
        .iter()
        .chain(after)
        .map(|position| *position as usize)
        .find(|position| field.takes_part(*position))
        .and_then(|position| field.candidates.get(position))
        .map(|candidate| candidate.index)
}

/// One full round as positions of candidates.
pub(super) fn turns(candidates: &[Candidate]) -> Box<[u32]> {
    let weights = scaled(candidates);
    let total: i64 = weights.iter().sum();
    let mut credits = vec![0_i64; weights.len()];
    (0..total)
        .filter_map(|_| {
            let mut best = 0;
            for (position, weight) in weights.iter().enumerate() {
                credits[position] += weight;
                if credits[position] > credits[best] {
                    best = position;
                }
            }
            credits[best] -= total;
            u32::try_from(best).ok()
        })
        .collect()
}

/// Weights without their common divisor, and none so great that the order grows too long.
fn scaled(candidates: &[Candidate]) -> Vec<i64> {
    let weights = || candidates.iter().map(|c| u64::from(c.weight));
    let divisor = weights().fold(0, gcd).max(1);
    let total = weights().sum::<u64>() / divisor;
    let turns_max = TURNS_MAX.max(candidates.len() as u64);
    weights()
        .map(|weight| {
            let weight = weight / divisor;
            let scaled = if total > turns_max {
                ((weight * turns_max + total / 2) / total).max(1)
            } else {
                weight
            };
            i64::try_from(scaled).unwrap_or(i64::MAX)
        })
        .collect()
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
