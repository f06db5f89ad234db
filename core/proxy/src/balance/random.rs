//! A small source of chance for balancing: fast, one for each worker, not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use super::hash::{mix, unit};

/// `SplitMix64`: passes the usual statistical tests and is one addition and one mix per number.
#[derive(Clone, Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// A sequence that differs from every other.
    pub(crate) fn new() -> Self {
        Self::seeded(RandomState::new().hash_one(0_u8))
    }

    /// The sequence that belongs to this seed.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        mix(state)
    }

    /// A number below `bound`, or 0 when that is 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number between 0 and 1.
    pub(crate) fn unit(&self) -> f64 {
        unit(self.next())
    }
}
