//! The same server for the same client address. Weighted rendezvous hashing: every server draws a
//! number from the client and its own name, and the best draw wins. When a server leaves, only the
//! clients that it had won move, and every balancer comes to the same result without a table.

use super::hash::{mix, stable, unit};
use super::{Candidate, Field, ServerIndex};

pub(super) fn pick(field: &Field<'_>) -> Option<ServerIndex> {
    let client = client_hash(field.client);
    field
        .participants()
        .map(|candidate| (draw(client, candidate), candidate.index))
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, index)| index)
}

/// A coin that depends on the client and the server alone, so that a client moves to a server in
/// slow start once and stays there.
pub(super) fn coin(client: u128, candidate: &Candidate) -> f64 {
    // Another constant than in `draw`: the coin must say nothing about who wins.
    unit(mix(client_hash(client).rotate_left(17) ^ candidate.hash))
}

/// Exponentially distributed with the weight as its rate: the least draw falls to each server in
/// proportion to its weight.
fn draw(client: u64, candidate: &Candidate) -> f64 {
    -unit(mix(client ^ candidate.hash)).ln() / f64::from(candidate.weight)
}

fn client_hash(client: u128) -> u64 {
    stable(&[&client.to_be_bytes()])
}
