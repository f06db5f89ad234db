//! Servers that die and return at random, watched by a check whose clock and chance are made up.
//! A failure names its seed.

use std::time::Instant;

use super::*;

const SEEDS: u64 = 256;
const PROBES: usize = 500;

/// One server and its check, and what happened lately.
struct World {
    random: Random,
    model: HealthCheck,
    check: Check,
    /// When the server last died or returned.
    turned: Instant,
    alive: bool,
    /// Results, the latest last.
    results: Vec<bool>,
    health: Health,
}

impl World {
    fn new(seed: u64, start: Instant) -> Self {
        let random = Random::seeded(seed);
        let between = |low: u64, high: u64| low + random.below(high - low + 1);
        let model = HealthCheck {
            interval: format!("{}ms", between(100, 60_000)).parse().unwrap(),
            timeout: format!("{}ms", between(50, 5000)).parse().unwrap(),
            rise: u8::try_from(between(1, 5)).unwrap(),
            fall: u8::try_from(between(1, 5)).unwrap(),
            ..HealthCheck::default()
        };
        Self {
            check: Check::new(&model, Health::Unchecked),
            alive: random.unit() < 0.7,
            turned: start,
            results: Vec::new(),
            health: Health::Unchecked,
            random,
            model,
        }
    }

    /// Probes once, from `started`; when the next is due.
    fn probe(&mut self, started: Instant) -> Instant {
        if self.random.unit() < 0.1 {
            self.alive = !self.alive;
            self.turned = started;
        }
        // A dead server fails at once or by time, a living one now and then by bad luck.
        let passed = self.alive && self.random.unit() < 0.97;
        let took = if passed {
            self.model.timeout.duration().mul_f64(self.random.unit())
        } else {
            self.model
                .timeout
                .duration()
                .mul_f64(self.random.unit().round())
        };
        let ended = started + took;
        self.results.push(passed);
        let before = self.health;
        self.health = self.check.observe(passed);
        self.check_transition(before);
        self.check_speed(ended);
        let next = self.check.next(started, ended, self.random.unit());
        let interval = self.model.interval.duration();
        assert!(next >= ended && next >= started + interval.mul_f64(0.9));
        assert!(next <= ended.max(started + interval.mul_f64(1.1)));
        next
    }

    fn last_all(&self, count: u8, passed: bool) -> bool {
        let last = self.results.iter().rev().take(count.into());
        self.results.len() >= count.into() && last.clone().all(|result| *result == passed)
    }

    /// Nothing changes without the row of results that it takes, and not a probe later.
    fn check_transition(&self, before: Health) {
        let after = self.health;
        match before {
            Health::Unchecked => {
                let first = if self.results[0] {
                    Health::Up
                } else {
                    Health::Down
                };
                assert_eq!(after, first, "the first result counts at once");
            }
            Health::Up => {
                assert_eq!(after == Health::Down, self.last_all(self.model.fall, false));
            }
            Health::Down => {
                assert_eq!(after == Health::Up, self.last_all(self.model.rise, true));
            }
        }
    }

    /// A server that has been dead for `fall` intervals and a timeout is out.
    fn check_speed(&self, now: Instant) {
        let HealthCheck {
            interval,
            timeout,
            fall,
            ..
        } = &self.model;
        let per_probe = interval.duration().mul_f64(1.1).max(timeout.duration());
        let out_within = per_probe * u32::from(*fall) + timeout.duration();
        if !self.alive && now >= self.turned + out_within {
            assert_eq!(self.health, Health::Down);
        }
    }
}

#[test]
fn a_server_is_out_after_fall_failures_in_a_row_and_back_after_rise_passes() {
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let start = Instant::now();
            let mut world = World::new(seed, start);
            let mut next = world
                .check
                .first(start, Duration::ZERO, world.random.unit());
            let soon = Duration::from_millis(500).min(world.model.interval.duration());
            assert!(next <= start + soon, "the first probe comes soon");
            for _ in 0..PROBES {
                next = world.probe(next);
            }
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
