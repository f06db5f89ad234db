//! Counters with one writer, and the per-worker array that holds them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows. One thread writes it, any thread reads it.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to the counter. Only the worker that owns it may call this: the addition is a load and
    /// a store, not an atomic read-modify-write, because there is no second writer.
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }

    /// The present value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One value for each worker, each on cache lines of its own.
#[derive(Debug)]
pub(crate) struct PerWorker<T>(Box<[Padded<T>]>);

/// 128 bytes: two cache lines, because processors prefetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> PerWorker<T> {
    /// A default value for each of `workers` workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Padded(T::default())).collect())
    }
}

impl<T> PerWorker<T> {
    /// The value of one worker; the last one when there is no such worker.
    pub(crate) fn of(&self, worker: usize) -> &T {
        &self.0[worker.min(self.0.len() - 1)].0
    }

    /// The values of all workers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum over all workers.
    pub(crate) fn sum(&self, value: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(value).fold(0, u64::wrapping_add)
    }
}

/// Durations in buckets whose bounds double: 1/16 ms, 1/8 ms, ... 65,536 ms, and above.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; Self::BUCKETS],
    micros: Counter,
}

impl Histogram {
    /// How many buckets there are; the last one has no upper bound.
    pub(crate) const BUCKETS: usize = 22;

    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // 62.5 µs is the first bound: the bucket is the number of doublings above it.
        let sixteenths = micros.saturating_mul(2) / 125;
        let doublings = (u64::BITS - sixteenths.leading_zeros()) as usize;
        self.buckets[doublings.min(Self::BUCKETS - 1)].add(1);
        self.micros.add(micros);
    }

    /// The upper bound of a bucket in seconds; none for the last.
    pub(crate) fn bound(bucket: usize) -> Option<f64> {
        (bucket < Self::BUCKETS - 1).then(|| 62.5e-6 * f64::from(1_u32 << bucket.min(31)))
    }

    /// How many durations fell into a bucket.
    pub(crate) fn bucket(&self, bucket: usize) -> u64 {
        self.buckets.get(bucket).map_or(0, Counter::get)
    }

    /// The sum of all durations, in microseconds.
    pub(crate) fn sum_micros(&self) -> u64 {
        self.micros.get()
    }
}
