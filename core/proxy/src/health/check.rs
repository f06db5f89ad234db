//! What a row of probe results makes of a server, and when the next probe is due. Decisions only:
//! the time and chance are passed in.

use std::time::{Duration, Instant};

use lb_model::config::HealthCheck;

use crate::pool::Health;

/// The first probes are spread over this time or more, or over an interval if that is shorter: soon,
/// because nothing is known yet, but not all at once.
const FIRST_WITHIN: Duration = Duration::from_millis(500);

/// The check of one server.
#[derive(Debug)]
pub(super) struct Check {
    interval: Duration,
    rise: u8,
    fall: u8,
    health: Health,
    /// How many results in a row spoke against `health`.
    against: u8,
}

impl Check {
    pub(super) fn new(model: &HealthCheck, health: Health) -> Self {
        let HealthCheck {
            interval,
            // For whoever probes.
            timeout: _,
            rise,
            fall,
            port: _,
            probe: _,
        } = model;
        Self {
            interval: interval.duration(),
            rise: *rise,
            fall: *fall,
            health,
            against: 0,
        }
    }

    /// Takes in the result of a probe; what the server is then.
    pub(super) fn observe(&mut self, passed: bool) -> Health {
        let (speaks_for, needed) = match self.health {
            // Nothing is known against the first result, so it counts at once: a balancer that
            // starts must not send clients to a dead server for `fall` intervals.
            Health::Unchecked => (false, 1),
            Health::Up => (passed, self.fall),
            Health::Down => (!passed, self.rise),
        };
        if speaks_for {
            self.against = 0;
            return self.health;
        }
        self.against = self.against.saturating_add(1);
        if self.against >= needed {
            self.against = 0;
            self.health = if passed { Health::Up } else { Health::Down };
        }
        self.health
    }

    /// When the first probe is due, among others that are spread over `spread`. `chance` lies between
    /// 0 and 1.
    pub(super) fn first(&self, now: Instant, spread: Duration, chance: f64) -> Instant {
        let within = self.interval.min(FIRST_WITHIN.max(spread));
        after(now, within.mul_f64(chance))
    }

    /// When the next probe is due after one that began at `started` and has ended now: an interval
    /// from beginning to beginning, give or take a tenth. `chance` lies between 0 and 1.
    pub(super) fn next(&self, started: Instant, now: Instant, chance: f64) -> Instant {
        let due = after(started, self.interval.mul_f64(0.9 + 0.2 * chance));
        due.max(now)
    }
}

fn after(moment: Instant, period: Duration) -> Instant {
    moment.checked_add(period).unwrap_or(moment)
}
