//! A point in time that threads share.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What moments are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Moments before the start are below this number, none is 0.
const ZERO: u64 = 1 << 62;

/// A moment, or none, that is read and written without a lock. Precise to the microsecond.
#[derive(Debug, Default)]
pub(crate) struct AtomicMoment(AtomicU64);

impl AtomicMoment {
    /// The moment, if there is one.
    pub(crate) fn load(&self) -> Option<Instant> {
        decode(self.0.load(Ordering::Acquire))
    }

    /// Sets or clears the moment.
    pub(crate) fn store(&self, moment: Option<Instant>) {
        self.0.store(encode(moment), Ordering::Release);
    }

    /// Clears the moment if it is still this one; whether it was.
    pub(crate) fn clear(&self, moment: Instant) -> bool {
        let current = encode(Some(moment));
        self.0
            .compare_exchange(current, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

fn encode(moment: Option<Instant>) -> u64 {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(ZERO - 1);
    moment.map_or(0, |moment| match moment.checked_duration_since(*START) {
        Some(after) => ZERO.saturating_add(micros(after)),
        None => ZERO.saturating_sub(micros(START.duration_since(moment))),
    })
}

fn decode(number: u64) -> Option<Instant> {
    let micros = Duration::from_micros;
    match number {
        0 => None,
        before if before < ZERO => START.checked_sub(micros(ZERO - before)),
        after => START.checked_add(micros(after - ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_was_written_also_before_the_first_one() {
        let start = *START;
        let shared = AtomicMoment::default();
        assert_eq!(shared.load(), None);
        let moments = [
            Some(start),
            Some(start + Duration::from_hours(24 * 28)),
            start.checked_sub(Duration::from_secs(1)),
            None,
        ];
        for moment in moments {
            shared.store(moment);
            assert_eq!(shared.load(), moment);
        }
    }

    #[test]
    fn only_one_of_many_clears_a_moment() {
        let shared = AtomicMoment::default();
        let moment = *START + Duration::from_secs(1);
        shared.store(Some(moment));
        assert!(!shared.clear(*START));
        assert!(shared.clear(moment));
        assert!(!shared.clear(moment));
    }
}
