//! How much work without use a peer may cause: what costs us more than it costs the sender, such as
//! requests that are broken off at once, is paid from a budget that time and finished exchanges fill.

use std::time::Duration;

use tokio::time::Instant;

use super::frame::Code;

/// The most that can be saved.
const BUDGET: u32 = 1000;
/// What comes back in a second, and with each exchange that comes to its end.
const EACH_SECOND: u32 = 500;
const EACH_EXCHANGE: u32 = 5;

/// What each thing costs.
pub(crate) const SETTINGS: u32 = 5;
pub(crate) const PING: u32 = 2;
/// A request that is broken off, refused, or no HTTP.
pub(crate) const BROKEN_STREAM: u32 = 5;
/// A frame that says nothing.
pub(crate) const EMPTY: u32 = 2;

/// The budget of one connection.
#[derive(Debug)]
pub(crate) struct Calm {
    left: u32,
    filled: Instant,
}

impl Calm {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: BUDGET,
            filled: now,
        }
    }

    /// Pays for something.
    ///
    /// # Errors
    /// There is not enough left: the connection ends.
    pub(crate) fn pay(&mut self, cost: u32) -> Result<(), Code> {
        self.left = self.left.checked_sub(cost).ok_or(Code::EnhanceYourCalm)?;
        Ok(())
    }

    /// Takes note of the time and of finished exchanges.
    pub(crate) fn fill(&mut self, now: Instant, completed: u32) {
        if self.left == BUDGET {
            self.filled = now;
            return;
        }
        let passed = now.saturating_duration_since(self.filled);
        let step = Duration::from_secs(1) / EACH_SECOND;
        let steps = u32::try_from(passed.as_nanos() / step.as_nanos()).unwrap_or(BUDGET);
        self.filled += step * steps;
        let more = steps.saturating_add(completed.saturating_mul(EACH_EXCHANGE));
        self.left = self.left.saturating_add(more).min(BUDGET);
    }
}
