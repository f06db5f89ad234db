//! What a running balancer does at a moment: its virtual services, pools and servers, as types.
//!
//! Numbers without a time only grow while the balancer runs; they survive changes of the
//! configuration by name. Whoever wants a rate or a quantile of the last seconds looks twice and takes
//! the difference.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Timestamp;
use crate::value::Name;

/// What a balancer does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The virtual services that are enabled, by name.
    pub virtual_services: BTreeMap<Name, VirtualServiceStatus>,
    /// The pools, by name.
    pub pools: BTreeMap<Name, PoolStatus>,
}

/// What a virtual service does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VirtualServiceStatus {
    /// Where it really listens: with the port that was taken if the document asks for a free one.
    #[schemars(with = "String", extend("examples" = ["0.0.0.0:80"]))]
    pub address: SocketAddr,
    /// Client connections that are open.
    pub connections_open: u64,
    /// Client connections accepted.
    pub connections: u64,
    /// Responses sent to clients.
    pub responses: Responses,
    /// Requests that the balancer refused because they were malformed, too large or too slow.
    pub refused: u64,
    /// Requests and connections for which no server was available.
    pub unavailable: u64,
    /// Bytes received from clients.
    pub bytes_received: u64,
    /// Bytes sent to clients.
    pub bytes_sent: u64,
    /// From the first byte of a request to the last byte of its response; TCP: of connections.
    pub duration: Histogram,
}

/// What a pool does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolStatus {
    /// Requests that wait for a server.
    pub queue_length: u64,
    /// Clients whose server is remembered; absent when persistence needs no memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_entries: Option<u64>,
    /// The servers, by name.
    pub servers: BTreeMap<Name, ServerStatus>,
}

/// What a server does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerStatus {
    /// Where it is reached.
    #[schemars(with = "String", extend("examples" = ["10.0.0.11:80"]))]
    pub address: SocketAddr,
    /// Its share of traffic relative to the others.
    pub weight: u32,
    /// Whether it gets traffic, and if not, why.
    pub condition: Condition,
    /// What brought it there, in words; absent when nothing but the document did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What the last probe found; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Requests (TCP: connections) in progress.
    pub in_progress: u64,
    /// Requests (TCP: connections) that it was chosen for.
    pub requests: u64,
    /// Connections opened to it.
    pub connections: u64,
    /// Connections to it that could not be opened.
    pub connect_failures: u64,
    /// Exchanges that ended because it closed, stalled or sent nonsense.
    pub failures: u64,
    /// Requests that moved on from it to another server.
    pub retries: u64,
    /// Its responses.
    pub responses: Responses,
    /// Bytes received from it.
    pub bytes_received: u64,
    /// Bytes sent to it.
    pub bytes_sent: u64,
    /// From a request being sent to the first byte of its response.
    pub response_time: Histogram,
}

/// Whether a server gets traffic, and if not, why.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Switched off by the operator.
    Disabled,
    /// Its health check fails.
    Down,
    /// It keeps the clients it has, by the operator's wish.
    Draining,
    /// Out for a while because traffic failed.
    Ejected,
    /// It gets traffic; no probe has looked at it.
    Unchecked,
    /// It gets traffic.
    Up,
}

/// Responses, by the first digit of their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Responses {
    /// The exchange ended before there was a status.
    pub none: u64,
    /// 101, the only one of these that ends an exchange.
    #[serde(rename = "1xx")]
    pub informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    pub successful: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    pub redirection: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    pub client_error: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    pub server_error: u64,
}

/// Durations, counted in buckets whose bounds double: below 62.5 µs, below 125 µs, and so on up to
/// 65.536 s, and one more for all that took longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// How many durations fell into each bucket, the shortest first; empty buckets at the end are
    /// left out.
    #[schemars(length(max = 22))]
    pub buckets: Vec<u64>,
    /// The sum of all durations, in microseconds.
    pub sum_micros: u64,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 6] = [
        Self::Disabled,
        Self::Down,
        Self::Draining,
        Self::Ejected,
        Self::Unchecked,
        Self::Up,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Unchecked => "unchecked",
            Self::Up => "up",
        }
    }

    /// Whether the server would answer: draining is the operator's wish, not a failure.
    pub const fn is_up(self) -> bool {
        match self {
            Self::Disabled | Self::Down | Self::Ejected => false,
            Self::Draining | Self::Unchecked | Self::Up => true,
        }
    }
}

impl Responses {
    /// All of them, those without a status included.
    pub const fn total(&self) -> u64 {
        let Self {
            none,
            informational,
            successful,
            redirection,
            client_error,
            server_error,
        } = *self;
        none + informational + successful + redirection + client_error + server_error
    }

    /// The numbers by first digit; index 0 has no status.
    pub const fn from_digits(digits: [u64; 6]) -> Self {
        let [
            none,
            informational,
            successful,
            redirection,
            client_error,
            server_error,
        ] = digits;
        Self {
            none,
            informational,
            successful,
            redirection,
            client_error,
            server_error,
        }
    }
}

impl Histogram {
    /// How many buckets there are; the last one has no upper bound.
    pub const BUCKETS: usize = 22;

    /// The first bound is 62.5 µs: 125 halves of a microsecond.
    const FIRST_HALF_MICROS: u64 = 125;

    /// The bucket of a duration.
    pub const fn bucket_of(micros: u64) -> usize {
        let doublings = micros.saturating_mul(2) / Self::FIRST_HALF_MICROS;
        let bucket = (u64::BITS - doublings.leading_zeros()) as usize;
        if bucket < Self::BUCKETS {
            bucket
        } else {
            Self::BUCKETS - 1
        }
    }

    /// What every duration in a bucket is below; none for the last bucket.
    pub const fn bound(bucket: usize) -> Option<Duration> {
        if bucket < Self::BUCKETS - 1 {
            let nanos = (Self::FIRST_HALF_MICROS << bucket) * 500;
            Some(Duration::from_nanos(nanos))
        } else {
            None
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The mean of all durations; none when there are none.
    pub fn mean(&self) -> Option<Duration> {
        let micros = self.sum_micros.checked_div(self.count())?;
        Some(Duration::from_micros(micros))
    }

    /// What was counted since an earlier look at the same thing. After a restart between the two,
    /// everything was.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket| earlier.buckets.get(bucket).copied().unwrap_or(0);
        let restarted = earlier.buckets.len() > self.buckets.len()
            || self.sum_micros < earlier.sum_micros
            || (0..)
                .zip(&self.buckets)
                .any(|(bucket, now)| *now < before(bucket));
        if restarted {
            return self.clone();
        }
        let buckets = (0..).zip(&self.buckets);
        Self::new(
            buckets.map(|(bucket, now)| now - before(bucket)),
            self.sum_micros - earlier.sum_micros,
        )
    }

    /// A histogram of these buckets.
    pub fn new(buckets: impl IntoIterator<Item = u64>, sum_micros: u64) -> Self {
        let mut buckets: Vec<u64> = buckets.into_iter().take(Self::BUCKETS).collect();
        let used = buckets.iter().rposition(|count| *count > 0);
        buckets.truncate(used.map_or(0, |last| last + 1));
        Self {
            buckets,
            sum_micros,
        }
    }

    /// The duration that this share of all was not above, such as 0.99; within its bucket, durations
    /// are taken to be spread evenly. None when nothing was counted; the last bound when the answer lies
    /// above it.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "an estimate, within a bucket that is twice as wide as its lower bound"
        )]
        let (wanted, exact) = (share.clamp(0.0, 1.0) * count as f64, |number: u64| {
            number as f64
        });
        let mut below = 0.0;
        let mut lower = Duration::ZERO;
        for (bucket, number) in (0..).zip(&self.buckets) {
            let number = exact(*number);
            let Some(upper) = Self::bound(bucket) else {
                break;
            };
            if number > 0.0 && below + number >= wanted {
                let part = ((wanted - below) / number).clamp(0.0, 1.0);
                return Some(lower + upper.saturating_sub(lower).mul_f64(part));
            }
            below += number;
            lower = upper;
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_duration_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for duration in [0, 1, 62, 63, 124, 125, 126, 3_000, 65_535_999, 65_536_000] {
            let bucket = Histogram::bucket_of(duration);
            let above = |bound: Duration| micros(duration) < bound;
            assert!(Histogram::bound(bucket).is_none_or(above), "{duration}");
            if let Some(before) = bucket.checked_sub(1) {
                assert!(!above(Histogram::bound(before).unwrap()), "{duration}");
            }
        }
        assert_eq!(Histogram::bucket_of(u64::MAX), Histogram::BUCKETS - 1);
        let last = Histogram::bound(Histogram::BUCKETS - 2).unwrap();
        assert_eq!(last, Duration::from_millis(65_536));
    }

    #[test]
    fn quantiles_lie_in_the_bucket_that_holds_them() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let histogram = Histogram::new([0, 90, 0, 10], 0);
        let median = histogram.quantile(0.5).unwrap();
        assert!(
            (micros(62)..micros(125)).contains(&median),
            "{median:?} is above 62.5 µs and below 125 µs"
        );
        let high = histogram.quantile(0.99).unwrap();
        assert!((micros(250)..micros(500)).contains(&high), "{high:?}");
        let endless = Histogram::new([0; 21].into_iter().chain([1]), 0);
        assert_eq!(
            endless.quantile(0.5),
            Some(Duration::from_millis(65_536)),
            "the last bound"
        );
    }

    #[test]
    fn two_looks_tell_what_happened_between_them() {
        let (first, second) = (
            Histogram::new([1, 2], 300),
            Histogram::new([1, 5, 1], 1_000),
        );
        assert_eq!(second.since(&first), Histogram::new([0, 3, 1], 700));
        assert_eq!(first.since(&second), first, "the balancer was restarted");
        assert_eq!(second.since(&second), Histogram::default());
    }

    #[test]
    fn a_status_reads_as_it_was_written() {
        let server = ServerStatus {
            address: "10.0.0.11:80".parse().unwrap(),
            weight: 100,
            condition: Condition::Down,
            reason: Some("connect: connection refused".to_owned()),
            since: Timestamp::from_unix_millis(0),
            probe: None,
            in_progress: 1,
            requests: 2,
            connections: 3,
            connect_failures: 4,
            failures: 5,
            retries: 6,
            responses: Responses::from_digits([0, 1, 2, 3, 4, 5]),
            bytes_received: 7,
            bytes_sent: 8,
            response_time: Histogram::new([0, 1], 100),
        };
        let name: Name = "web".parse().unwrap();
        let pool = PoolStatus {
            servers: BTreeMap::from([(name.clone(), server)]),
            ..PoolStatus::default()
        };
        let status = Status {
            pools: BTreeMap::from([(name, pool)]),
            ..Status::default()
        };
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.contains(r#""2xx":2"#) && text.contains(r#""condition":"down""#));
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }
}
