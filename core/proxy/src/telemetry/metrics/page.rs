//! A page of metrics in the text format of Prometheus, and the kinds of metrics it is made of.

use std::fmt::{Arguments, Display, Write};

use lb_model::status::Histogram as Durations;

use crate::telemetry::{Counter, Histogram, PerWorker};

/// A counter with one sample for each object.
pub(super) struct Total<T> {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) value: fn(&T) -> &Counter,
}

/// A number that comes and goes: what has begun less what has ended.
pub(super) struct Active<T> {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) begun: fn(&T) -> &Counter,
    pub(super) ended: fn(&T) -> &Counter,
}

/// A counter with one sample for each first digit of a status.
pub(super) struct ByStatus<T> {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) value: fn(&T) -> &[Counter; 6],
}

/// A histogram of seconds.
pub(super) struct Seconds<T> {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) value: fn(&T) -> &Histogram,
}

/// Something that has counters, and the labels that name it.
pub(super) struct Object<'a, T> {
    pub(super) labels: String,
    pub(super) counters: &'a PerWorker<T>,
}

/// A page that grows. Samples of one name stand together, as the format demands.
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: &str, explanation: &str) {
        self.line(format_args!("# HELP {name} {explanation}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, line: Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes every write");
    }

    pub(super) fn totals<T>(&mut self, totals: &[Total<T>], objects: &[Object<'_, T>]) {
        for total in totals {
            self.family(total.name, "counter", total.explanation);
            for object in objects {
                let value = object.counters.sum(|c| (total.value)(c).get());
                self.sample(total.name, &object.labels, value);
            }
        }
    }

    pub(super) fn active<T>(&mut self, active: &Active<T>, objects: &[Object<'_, T>]) {
        self.family(active.name, "gauge", active.explanation);
        for object in objects {
            // What has ended is read first: read last, it might outnumber what had begun.
            let ended = object.counters.sum(|c| (active.ended)(c).get());
            let begun = object.counters.sum(|c| (active.begun)(c).get());
            self.sample(active.name, &object.labels, begun.saturating_sub(ended));
        }
    }

    pub(super) fn by_status<T>(&mut self, by_status: &ByStatus<T>, objects: &[Object<'_, T>]) {
        const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
        self.family(by_status.name, "counter", by_status.explanation);
        for object in objects {
            for (digit, class) in CLASSES.into_iter().enumerate() {
                let value = object.counters.sum(|c| (by_status.value)(c)[digit].get());
                let labels = format!("{},code=\"{class}\"", object.labels);
                self.sample(by_status.name, &labels, value);
            }
        }
    }

    pub(super) fn seconds<T>(&mut self, seconds: &Seconds<T>, objects: &[Object<'_, T>]) {
        self.family(seconds.name, "histogram", seconds.explanation);
        let name = seconds.name;
        for Object { labels, counters } in objects {
            let durations = counters.durations(seconds.value);
            let comma = if labels.is_empty() { "" } else { "," };
            let mut count = 0_u64;
            for bucket in 0..Histogram::BUCKETS {
                count += durations.buckets.get(bucket).copied().unwrap_or(0);
                let le = Durations::bound(bucket).map_or_else(
                    || "+Inf".to_owned(),
                    |bound| bound.as_secs_f64().to_string(),
                );
                self.line(format_args!(
                    "{name}_bucket{{{labels}{comma}le=\"{le}\"}} {count}"
                ));
            }
            let micros = durations.sum_micros;
            let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let sum = format!("{whole}.{fraction:06}");
            self.sample(&format!("{name}_sum"), labels, sum);
            self.sample(&format!("{name}_count"), labels, count);
        }
    }
}
