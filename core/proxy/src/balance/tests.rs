//! Promises that every algorithm keeps, whichever it is.

use std::cell::RefCell;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::hash::stable;
use super::*;

const PICKS: u32 = 100_000;

/// Candidates with these weights, a turn, and requests that stay in progress for a while.
struct Pool {
    candidates: Vec<Candidate>,
    turn: Turn,
    random: Random,
    /// Which servers the requests in progress are on, oldest first.
    in_progress: RefCell<VecDeque<ServerIndex>>,
}

impl Pool {
    fn new(weights: &[u32]) -> Self {
        let candidate = |(position, weight): (usize, &u32)| Candidate {
            index: ServerIndex::new(position),
            weight: *weight,
            hash: stable(&[format!("server{position}").as_bytes()]),
        };
        Self {
            candidates: weights.iter().enumerate().map(candidate).collect(),
            turn: Turn::default(),
            random: Random::seeded(7),
            in_progress: RefCell::default(),
        }
    }

    fn pick(
        &self,
        balance: Balance,
        taking_part: Option<&[bool]>,
        client: u128,
    ) -> Option<ServerIndex> {
        let in_progress = self.in_progress.borrow();
        let loads = in_progress
            .iter()
            .fold(vec![0_u64; 64], |mut loads, index| {
                loads[index.position()] += 1;
                loads
            });
        let turns = turns(balance, &self.candidates);
        pick(
            balance,
            &Field {
                candidates: &self.candidates,
                turns: &turns,
                taking_part,
                cursor: Cursor::Take(&self.turn),
                random: &self.random,
                client,
                load: &|index| loads[index.position()],
            },
        )
    }

    /// How often each server is chosen while `concurrency` requests are in progress and end in the
    /// order in which they began.
    fn shares(&self, balance: Balance, concurrency: usize) -> Vec<f64> {
        let turns = turns(balance, &self.candidates);
        let mut loads = vec![0_u64; self.candidates.len()];
        let mut in_progress = VecDeque::new();
        let mut counts = vec![0_u32; self.candidates.len()];
        for client in 0..PICKS {
            let picked = pick(
                balance,
                &Field {
                    candidates: &self.candidates,
                    turns: &turns,
                    taking_part: None,
                    cursor: Cursor::Take(&self.turn),
                    random: &self.random,
                    client: u128::from(client),
                    load: &|index| loads[index.position()],
                },
            );
            let position = picked.unwrap().position();
            counts[position] += 1;
            loads[position] += 1;
            in_progress.push_back(position);
            if in_progress.len() > concurrency {
                loads[in_progress.pop_front().unwrap()] -= 1;
            }
        }
        counts
            .into_iter()
            .map(|count| f64::from(count) / f64::from(PICKS))
            .collect()
    }
}

/// The share that an algorithm promises to each server.
fn promised(balance: Balance, weights: &[u32]) -> Vec<f64> {
    let total: u32 = weights.iter().sum();
    let count = f64::from(u32::try_from(weights.len()).unwrap());
    match balance {
        Balance::RoundRobin | Balance::LeastConnections => {
            weights.iter().map(|_| 1.0 / count).collect()
        }
        Balance::WeightedRoundRobin
        | Balance::WeightedLeastConnections
        | Balance::RandomOfTwo
        | Balance::SourceHash => weights
            .iter()
            .map(|weight| f64::from(*weight) / f64::from(total))
            .collect(),
        Balance::FixedWeighting => {
            let greatest = weights.iter().max().unwrap();
            let first = weights.iter().position(|w| w == greatest).unwrap();
            let share = |position| if position == first { 1.0 } else { 0.0 };
            (0..weights.len()).map(share).collect()
        }
    }
}

#[test]
fn every_algorithm_gives_each_server_its_promised_share_within_one_percent() {
    let pools: [&[u32]; 6] = [
        &[100],
        &[100, 100],
        &[100, 100, 100, 100],
        &[100, 50, 50],
        &[10, 20, 70],
        &[1000, 999, 500, 37, 1],
    ];
    for weights in pools {
        for balance in Balance::ALL {
            let shares = Pool::new(weights).shares(balance, 2000);
            for (share, promised) in shares.iter().zip(promised(balance, weights)) {
                assert!(
                    (share - promised).abs() < 0.01,
                    "{balance:?} with {weights:?}: {share} instead of {promised}"
                );
            }
        }
    }
}

#[test]
fn a_quiet_pool_shares_its_requests_as_promised_too() {
    let weights = [100, 50, 50];
    for balance in Balance::ALL {
        let shares = Pool::new(&weights).shares(balance, 0);
        for (share, promised) in shares.iter().zip(promised(balance, &weights)) {
            assert!((share - promised).abs() < 0.01, "{balance:?}: {shares:?}");
        }
    }
}

#[test]
fn servers_are_seen_in_turn() {
    for balance in [Balance::RoundRobin, Balance::LeastConnections] {
        let pool = Pool::new(&[100, 100, 100]);
        let seen: Vec<usize> = (0..6)
            .map(|_| pool.pick(balance, None, 0).unwrap().position())
            .collect();
        assert_eq!(seen, [0, 1, 2, 0, 1, 2], "{balance:?}");
    }
}

#[test]
fn weighted_turns_are_spread_evenly_and_exact_over_every_round() {
    let turns = weighted_round_robin::turns(&Pool::new(&[500, 100, 100]).candidates);
    assert_eq!(turns.to_vec(), [0, 0, 1, 0, 2, 0, 0]);
    let pool = Pool::new(&[100, 50, 150]);
    let mut counts = [0; 3];
    for _ in 0..300 {
        counts[pool
            .pick(Balance::WeightedRoundRobin, None, 0)
            .unwrap()
            .position()] += 1;
    }
    assert_eq!(counts, [100, 50, 150]);
}

#[test]
fn weights_without_a_common_divisor_keep_the_order_short() {
    let weights: Vec<u32> = (0..64).map(|n| 1000 - n).collect();
    let turns = weighted_round_robin::turns(&Pool::new(&weights).candidates);
    assert!(turns.len() <= 8192 + 64, "{}", turns.len());
}

#[test]
fn when_a_server_leaves_only_its_own_clients_move() {
    for servers in [2_u8, 3, 5, 10, 20] {
        let whole = Pool::new(&vec![100; servers.into()]);
        let gone = usize::from(servers / 2);
        let mut rest = Pool::new(&vec![100; servers.into()]);
        rest.candidates.remove(gone);
        let mut moved = 0;
        for client in (0..PICKS).map(u128::from) {
            let before = whole.pick(Balance::SourceHash, None, client).unwrap();
            let after = rest.pick(Balance::SourceHash, None, client).unwrap();
            if before != after {
                assert_eq!(
                    before.position(),
                    gone,
                    "a client of a server that stayed moved"
                );
                moved += 1;
            }
        }
        let share = f64::from(moved) / f64::from(PICKS);
        assert!(
            share <= 1.0 / f64::from(servers) + 0.02,
            "{servers} servers: {share} moved"
        );
    }
}

#[test]
fn the_slower_of_two_equal_servers_gets_less_where_load_counts() {
    let loaded = [
        Balance::LeastConnections,
        Balance::WeightedLeastConnections,
        Balance::RandomOfTwo,
    ];
    for balance in loaded {
        let pool = Pool::new(&[100, 100]);
        let slow = ServerIndex::new(0);
        pool.in_progress.borrow_mut().extend([slow; 10]);
        for _ in 0..100 {
            assert_ne!(pool.pick(balance, None, 0), Some(slow), "{balance:?}");
        }
    }
}

#[test]
fn an_explanation_moves_no_turn_on() {
    let turn = Turn::default();
    assert_eq!(Cursor::Peek(&turn).of(3), 0);
    assert_eq!(Cursor::Peek(&turn).of(3), 0);
    assert_eq!(Cursor::Take(&turn).of(3), 0);
    assert_eq!(Cursor::Peek(&turn).of(3), 1);
}

proptest! {
    #[test]
    fn only_servers_that_take_part_are_chosen_and_somebody_is_if_any_does(
        servers in prop::collection::vec((1_u32..=1000, any::<bool>(), 0_usize..5), 1..40),
        client: u128,
        picks_before in 0_u64..1000,
    ) {
        let weights: Vec<u32> = servers.iter().map(|(weight, _, _)| *weight).collect();
        let parts: Vec<bool> = servers.iter().map(|(_, part, _)| *part).collect();
        let pool = Pool::new(&weights);
        pool.turn.0.store(picks_before, Ordering::Relaxed);
        for (position, (_, _, load)) in servers.iter().enumerate() {
            let requests = std::iter::repeat_n(ServerIndex::new(position), *load);
            pool.in_progress.borrow_mut().extend(requests);
        }
        for balance in Balance::ALL {
            match pool.pick(balance, Some(&parts), client) {
                Some(index) => prop_assert!(parts[index.position()], "{balance:?}"),
                None => prop_assert!(!parts.contains(&true), "{balance:?}"),
            }
            prop_assert!(pool.pick(balance, None, client).is_some(), "{balance:?}");
        }
    }

    #[test]
    fn the_best_server_takes_everything_under_fixed_weighting(
        weights in prop::collection::vec(1_u32..=1000, 1..40),
    ) {
        let pool = Pool::new(&weights);
        let picked = pool.pick(Balance::FixedWeighting, None, 0).unwrap();
        let greatest = *weights.iter().max().unwrap();
        prop_assert_eq!(Some(picked.position()), weights.iter().position(|w| *w == greatest));
    }
}
