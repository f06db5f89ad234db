//! Tokens that are none, counted by where they come from: whoever tries many is heard less and less.
//! The good token of somebody behind the same address is taken all the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many wrong tokens an address may send at once, and how long one of them counts.
const ATTEMPTS_MAX: u32 = 10;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6);

/// The most addresses that are remembered; all others share one count.
const ADDRESSES_MAX: usize = 4096;

/// Wrong tokens, by address.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: Mutex<HashMap<Option<Origin>, Count>>,
}

/// Where somebody comes from: an IPv4 address, or the network that one IPv6 customer gets.
pub(super) type Origin = [u8; 8];

#[derive(Clone, Copy, Debug)]
struct Count {
    /// As of `at`.
    attempts: u32,
    at: Instant,
}

/// What is to be done about a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered and written down.
    Heard,
    /// It is the last of its kind for a while.
    Last,
    /// It is one too many.
    TooMany,
}

/// The origin that an address belongs to.
pub(super) fn origin(address: IpAddr) -> Origin {
    let mut origin = [0; 8];
    match address.to_canonical() {
        // No network that is routed begins with four zeros and something else.
        IpAddr::V4(address) => origin[4..].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => origin.copy_from_slice(&address.octets()[..8]),
    }
    origin
}

impl Attempts {
    /// Notes a wrong token.
    pub(super) fn note(&self, address: IpAddr, now: Instant) -> Verdict {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Some(origin(address));
        if counts.len() >= ADDRESSES_MAX && !counts.contains_key(&key) {
            counts.retain(|_, count| count.current(now) > 0);
            if counts.len() >= ADDRESSES_MAX {
                key = None;
            }
        }
        let count = counts.entry(key).or_insert(Count {
            attempts: 0,
            at: now,
        });
        let attempts = count.current(now);
        if attempts >= ATTEMPTS_MAX {
            return Verdict::TooMany;
        }
        // What has not been forgotten yet of the last step goes on counting.
        let rest = now.saturating_duration_since(count.at).as_nanos() % FORGOTTEN_AFTER.as_nanos();
        let rest = Duration::from_nanos(u64::try_from(rest).unwrap_or_default());
        *count = Count {
            attempts: attempts + 1,
            at: if attempts == 0 {
                now
            } else {
                now.checked_sub(rest).unwrap_or(now)
            },
        };
        if attempts + 1 == ATTEMPTS_MAX {
            Verdict::Last
        } else {
            Verdict::Heard
        }
    }

    /// Whether wrong tokens of this address are not heard now.
    pub(super) fn is_over(&self, address: IpAddr, now: Instant) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Some(origin(address));
        let count = counts.get(&key).or_else(|| counts.get(&None));
        count.is_some_and(|count| count.current(now) >= ATTEMPTS_MAX)
    }
}

impl Count {
    fn current(&self, now: Instant) -> u32 {
        let past = now.saturating_duration_since(self.at).as_nanos() / FORGOTTEN_AFTER.as_nanos();
        self.attempts
            .saturating_sub(u32::try_from(past).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_are_heard_at_once_and_then_one_every_six_seconds() {
        let attempts = Attempts::default();
        let begun = Instant::now();
        let one = address("192.0.2.1");
        let verdicts: Vec<_> = (0..12).map(|_| attempts.note(one, begun)).collect();
        assert!(verdicts[..9].iter().all(|v| *v == Verdict::Heard));
        assert_eq!(
            verdicts[9..],
            [Verdict::Last, Verdict::TooMany, Verdict::TooMany]
        );
        assert!(attempts.is_over(one, begun));
        assert_eq!(attempts.note(address("192.0.2.2"), begun), Verdict::Heard);
        assert_eq!(
            attempts.note(address("::ffff:192.0.2.1"), begun),
            Verdict::TooMany
        );

        let later = begun + FORGOTTEN_AFTER;
        assert_eq!(attempts.note(one, later), Verdict::Last);
        assert_eq!(attempts.note(one, later), Verdict::TooMany);
        let much_later = begun + FORGOTTEN_AFTER * 100;
        assert!(!attempts.is_over(one, much_later));
    }

    #[test]
    fn whoever_has_many_addresses_fills_no_memory_and_is_heard_no_more() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let many = (0..10_000_u32)
            .map(|n| IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n) << 64).to_be_bytes()));
        let last = many.map(|address| attempts.note(address, now)).last();
        assert_eq!(last, Some(Verdict::TooMany));
        assert_eq!(attempts.counts.lock().unwrap().len(), ADDRESSES_MAX + 1);
        let later = now + FORGOTTEN_AFTER * 20;
        assert_eq!(attempts.note(address("192.0.2.1"), later), Verdict::Heard);
        assert_eq!(attempts.counts.lock().unwrap().len(), 1);
    }
}
