//! What one worker knows of a pool's servers until something changes.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Pool;
use super::server::{Access, Closed};
use crate::balance::{Candidate, ServerIndex, turns};

/// Made anew when the pool's epoch moves on, or when its time is over.
#[derive(Debug)]
pub(super) struct View {
    epoch: u64,
    /// When a drain, an ejection or a slow start will have ended.
    until: Option<Instant>,
    access: Box<[Access]>,
    pub(super) candidates: Box<[Candidate]>,
    pub(super) turns: Box<[u32]>,
    /// Positions of candidates in slow start, and when it began.
    pub(super) warming: Box<[(usize, Instant)]>,
}

impl View {
    /// A view that does not hold, whatever the pool is like. It costs nothing to make.
    pub(super) fn none() -> Self {
        Self {
            epoch: u64::MAX,
            until: None,
            access: Box::default(),
            candidates: Box::default(),
            turns: Box::default(),
            warming: Box::default(),
        }
    }

    pub(super) fn new(pool: &Pool, now: Instant) -> Self {
        // Read first: a change that happens meanwhile makes this view out of date at once.
        let epoch = pool.state.epoch.load(Ordering::Acquire);
        let access = access(pool, now);
        let open = pool.servers.iter().zip(&access).enumerate();
        let candidates: Box<[Candidate]> = open
            .filter(|(_, (_, access))| **access == Access::Open)
            .map(|(position, (server, _))| Candidate {
                index: ServerIndex::new(position),
                weight: server.weight.max(1),
                hash: server.hash,
            })
            .collect();
        let (warming, warm_until) = warming(pool, &candidates, now);
        let until = pool.servers.iter().filter_map(|s| s.standing(now).until);
        Self {
            epoch,
            until: until.chain(warm_until).min(),
            access,
            turns: turns(pool.balance, &candidates),
            candidates,
            warming,
        }
    }

    /// Whether the view still holds. The time is asked for only if it matters.
    pub(super) fn holds(&self, pool: &Pool, now: impl FnOnce() -> Instant) -> bool {
        self.epoch == pool.state.epoch.load(Ordering::Acquire)
            && self.until.is_none_or(|until| now() < until)
    }

    /// Whom a server is there for.
    pub(super) fn access(&self, index: ServerIndex) -> Access {
        let absent = Access::Nobody(Closed::Disabled);
        self.access.get(index.position()).copied().unwrap_or(absent)
    }
}

/// Whom each server is there for. Ejected servers are when nobody else is: a server that failed is
/// worth more than none.
pub(super) fn access(pool: &Pool, now: Instant) -> Box<[Access]> {
    let servers = || pool.servers.iter();
    let access: Box<[Access]> = servers().map(|s| s.standing(now).access).collect();
    if access.contains(&Access::Open) {
        return access;
    }
    servers()
        .map(|server| server.standing_unless_ejected(now))
        .collect()
}

/// The candidates in slow start, and when the first of them will be through.
fn warming(
    pool: &Pool,
    candidates: &[Candidate],
    now: Instant,
) -> (Box<[(usize, Instant)]>, Option<Instant>) {
    let Some(slow_start) = pool.slow_start else {
        return (Box::default(), None);
    };
    let warming = candidates
        .iter()
        .enumerate()
        .filter_map(|(position, candidate)| {
            let since = pool.server(candidate.index).state.warming_since()?;
            let end = since.checked_add(slow_start)?;
            (end > now).then_some((position, since, end))
        });
    let until = warming.clone().map(|(_, _, end)| end).min();
    (
        warming
            .map(|(position, since, _)| (position, since))
            .collect(),
        until,
    )
}
