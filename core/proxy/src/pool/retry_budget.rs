//! How many requests may be retried: a share of all, so that an outage does not multiply the load on
//! the servers that are left.

use std::cell::Cell;

/// What a retry costs; a request brings in as many as its percentage.
const RETRY: u32 = 100;
/// What there is before the first request, so that a quiet service may retry too.
const BURST: u32 = 10 * RETRY;
/// The most that a quiet time saves up: the requests in flight to a server that dies are retried at
/// once.
const SAVED_MAX: u32 = 256 * RETRY;

/// The budget of one worker for one pool.
#[derive(Debug)]
pub(super) struct RetryBudget {
    percent: u32,
    saved: Cell<u32>,
}

impl RetryBudget {
    pub(super) fn new(percent: u8) -> Self {
        Self {
            percent: u32::from(percent),
            saved: Cell::new(if percent == 0 { 0 } else { BURST }),
        }
    }

    /// Goes on with what another budget has saved up, as far as this one has any.
    pub(super) fn inherit(&self, previous: &Self) {
        if self.percent > 0 && previous.percent > 0 {
            self.saved.set(previous.saved.get());
        }
    }

    /// Counts a request.
    pub(super) fn deposit(&self) {
        self.saved
            .set((self.saved.get() + self.percent).min(SAVED_MAX));
    }

    /// Takes a retry, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        let left = self.saved.get().checked_sub(RETRY);
        if let Some(left) = left {
            self.saved.set(left);
        }
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_outage_no_more_requests_are_retried_than_the_percentage() {
        for percent in [1, 20, 50, 100] {
            let budget = RetryBudget::new(percent);
            let mut retried = 0;
            for _ in 0..100_000 {
                budget.deposit();
                while budget.withdraw() {
                    retried += 1;
                }
            }
            let allowed = 1000 * u32::from(percent);
            assert!(
                (allowed..=allowed + 10).contains(&retried),
                "{percent} %: {retried}"
            );
        }
    }

    #[test]
    fn a_quiet_time_saves_up_a_bounded_number_of_retries() {
        let budget = RetryBudget::new(20);
        (0..1_000_000).for_each(|_| budget.deposit());
        let retried = std::iter::repeat_with(|| budget.withdraw()).take_while(|taken| *taken);
        assert_eq!(retried.count(), 256);
    }

    #[test]
    fn zero_percent_means_no_retry_at_all() {
        let budget = RetryBudget::new(0);
        (0..1000).for_each(|_| budget.deposit());
        assert!(!budget.withdraw());
    }
}
