//! How many of something there may be at a time, a number that may change meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// A number of permits that can be raised and lowered while they are in use. Lowered below what is in
/// use, it takes nothing away: permits that come back are not given again until there are few enough.
#[derive(Debug)]
pub(crate) struct Limit {
    free: Semaphore,
    max: Mutex<usize>,
    /// How many permits in use are beyond the limit.
    surplus: AtomicUsize,
}

/// One of what there may be, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Limit>);

impl Limit {
    /// What stands for no limit.
    pub(crate) const NONE: usize = Semaphore::MAX_PERMITS;

    pub(crate) fn new(max: usize) -> Self {
        let max = max.min(Self::NONE);
        Self {
            free: Semaphore::new(max),
            max: Mutex::new(max),
            surplus: AtomicUsize::new(0),
        }
    }

    /// Takes a permit if there is one.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Permit> {
        self.free.try_acquire().ok()?.forget();
        Some(Permit(Arc::clone(self)))
    }

    /// Waits for a permit. Who came first is served first.
    pub(crate) async fn take(self: &Arc<Self>) -> Permit {
        // An error means that the semaphore was closed, which nobody does.
        if let Ok(permit) = self.free.acquire().await {
            permit.forget();
        }
        Permit(Arc::clone(self))
    }

    /// Changes the limit.
    pub(crate) fn set(&self, max: usize) {
        let max = max.min(Self::NONE);
        let mut now = self.max.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, max);
        if let Some(fewer) = before.checked_sub(max) {
            let in_use = fewer - self.free.forget_permits(fewer);
            self.surplus.fetch_add(in_use, Ordering::AcqRel);
        } else {
            let mut more = max - before;
            while more > 0 && self.take_surplus() {
                more -= 1;
            }
            self.free.add_permits(more);
        }
    }

    /// Counts one of the surplus as gone; whether there was one.
    fn take_surplus(&self) -> bool {
        // Usually there is none, and then nothing is written.
        self.surplus.load(Ordering::Acquire) > 0
            && self
                .surplus
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| {
                    surplus.checked_sub(1)
                })
                .is_ok()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Self(limit) = self;
        if !limit.take_surplus() {
            limit.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lowered_limit_waits_until_few_enough_are_in_use() {
        let limit = Arc::new(Limit::new(Limit::NONE));
        let mut taken: Vec<Permit> = (0..3).map(|_| limit.try_take().unwrap()).collect();
        limit.set(2);
        assert!(limit.try_take().is_none());
        taken.pop();
        assert!(limit.try_take().is_none(), "two are in use");
        taken.pop();
        taken.push(limit.try_take().unwrap());
        assert!(limit.try_take().is_none());
        limit.set(Limit::NONE);
        taken.extend((0..100).map(|_| limit.try_take().unwrap()));
    }

    #[tokio::test]
    async fn a_raised_limit_lets_in_who_waits() {
        let limit = Arc::new(Limit::new(1));
        let first = limit.take().await;
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        limit.set(2);
        drop(waiting.await.unwrap());
        drop(first);
    }

    proptest! {
        #[test]
        fn whatever_changes_there_is_a_permit_exactly_while_fewer_than_the_limit_are_in_use(
            steps in prop::collection::vec((0_u8..3, 0_usize..6), 1..200),
        ) {
            let mut max = 3;
            let limit = Arc::new(Limit::new(max));
            let mut taken = Vec::new();
            for (step, number) in steps {
                match step {
                    0 => {
                        let permit = limit.try_take();
                        prop_assert_eq!(permit.is_some(), taken.len() < max);
                        taken.extend(permit);
                    }
                    1 => drop(taken.pop()),
                    _ => {
                        max = number;
                        limit.set(max);
                    }
                }
            }
        }
    }
}
