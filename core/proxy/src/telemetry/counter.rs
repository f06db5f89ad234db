//! Counters with one writer, and the per-worker array that holds them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lb_model::status::Histogram as Durations;

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

/// Durations in the buckets of [`lb_model::status::Histogram`].
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; Self::BUCKETS],
    micros: Counter,
}

impl Histogram {
    /// How many buckets there are; the last one has no upper bound.
    pub(crate) const BUCKETS: usize = Durations::BUCKETS;

    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Durations::bucket_of(micros)].add(1);
        self.micros.add(micros);
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

impl<T> PerWorker<T> {
    /// What all workers together have counted in a histogram.
    pub(crate) fn durations(&self, histogram: impl Fn(&T) -> &Histogram) -> Durations {
        let bucket = |bucket| self.sum(|counters| histogram(counters).bucket(bucket));
        let micros = self.sum(|counters| histogram(counters).sum_micros());
        Durations::new((0..Histogram::BUCKETS).map(bucket), micros)
    }
}
