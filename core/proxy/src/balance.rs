//! Choosing a server for a client that has none yet: one file for each algorithm.
//!
//! An algorithm sees candidates only: servers that are available and may take new clients. It knows
//! neither health nor limits; the pool leaves out of a [`Field`] whoever cannot take this request.

use std::sync::atomic::{AtomicU64, Ordering};

use lb_model::config::Balance;

mod fixed_weighting;
pub(crate) mod hash;
mod least_connections;
pub(crate) mod random;
mod random_of_two;
mod round_robin;
mod source_hash;
mod weighted_least_connections;
mod weighted_round_robin;

#[cfg(test)]
mod tests;

use random::Random;

/// Which server of a pool: servers are in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerIndex(u32);

/// A server that may take new clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Which server it is.
    pub(crate) index: ServerIndex,
    /// Its share relative to the others, at least 1.
    pub(crate) weight: u32,
    /// A hash of its name, the same on every balancer.
    pub(crate) hash: u64,
}

/// Whose turn it is: one for each pool, shared by all workers, so that clients see the servers in
/// turn whichever worker they reach.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Turn(AtomicU64);

/// The turn as one pick sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cursor<'a> {
    /// Looks without moving the turn on, for explanations.
    Peek(&'a Turn),
    /// Takes the turn.
    Take(&'a Turn),
}

/// What an algorithm chooses from, and what it may look at.
pub(crate) struct Field<'a> {
    /// In the order of their names; never empty.
    pub(crate) candidates: &'a [Candidate],
    /// What [`turns`] made of the candidates.
    pub(crate) turns: &'a [u32],
    /// Which candidates take part in this pick, by position; all when absent, at least one always.
    pub(crate) taking_part: Option<&'a [bool]>,
    /// Whose turn it is.
    pub(crate) cursor: Cursor<'a>,
    /// The worker's source of chance.
    pub(crate) random: &'a Random,
    /// The client's address, masked as the pool wishes.
    pub(crate) client: u128,
    /// Requests and connections that a server has in progress.
    pub(crate) load: &'a dyn Fn(ServerIndex) -> u64,
}

/// Chooses a server; none only when nobody takes part.
pub(crate) fn pick(balance: Balance, field: &Field<'_>) -> Option<ServerIndex> {
    match balance {
        Balance::RoundRobin => round_robin::pick(field),
        Balance::WeightedRoundRobin => weighted_round_robin::pick(field),
        Balance::LeastConnections => least_connections::pick(field),
        Balance::WeightedLeastConnections => weighted_least_connections::pick(field),
        Balance::FixedWeighting => fixed_weighting::pick(field),
        Balance::RandomOfTwo => random_of_two::pick(field),
        Balance::SourceHash => source_hash::pick(field),
    }
}

/// The order in which candidates take turns, as positions; empty when the algorithm needs none.
/// It depends on the candidates alone, so that every worker makes the same one.
pub(crate) fn turns(balance: Balance, candidates: &[Candidate]) -> Box<[u32]> {
    match balance {
        Balance::WeightedRoundRobin => weighted_round_robin::turns(candidates),
        Balance::RoundRobin
        | Balance::LeastConnections
        | Balance::WeightedLeastConnections
        | Balance::FixedWeighting
        | Balance::RandomOfTwo
        | Balance::SourceHash => Box::default(),
    }
}

/// A number from 0 to 1 that says whether a server in slow start takes part in a pick: it does when
/// the number is below the part of its slow start that has passed. The algorithm that must bring a
/// client to the same server again tosses the same coin for it again.
pub(crate) fn coin(balance: Balance, client: u128, candidate: &Candidate, random: &Random) -> f64 {
    match balance {
        Balance::SourceHash => source_hash::coin(client, candidate),
        Balance::RoundRobin
        | Balance::WeightedRoundRobin
        | Balance::LeastConnections
        | Balance::WeightedLeastConnections
        | Balance::FixedWeighting
        | Balance::RandomOfTwo => random.unit(),
    }
}

impl ServerIndex {
    /// The server at a position in the pool's list.
    pub(crate) fn new(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }

    /// The position in the pool's list.
    pub(crate) const fn position(self) -> usize {
        self.0 as usize
    }
}

impl Cursor<'_> {
    /// Whose turn it is among `count`.
    fn of(self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % count).unwrap_or_default()
    }

    /// The number of this turn since the pool was made.
    fn number(self) -> u64 {
        match self {
            Self::Peek(turn) => turn.0.load(Ordering::Relaxed),
            Self::Take(turn) => turn.0.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Field<'_> {
    /// Whether the candidate at this position takes part.
    fn takes_part(&self, position: usize) -> bool {
        self.taking_part
            .is_none_or(|parts| parts.get(position).copied().unwrap_or(false))
    }

    /// Those that take part.
    fn participants(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates
            .iter()
            .enumerate()
            .filter(|(position, _)| self.takes_part(*position))
            .map(|(_, candidate)| candidate)
    }
}
