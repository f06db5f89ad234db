//! What can be seen of a running proxy, from any thread and without disturbing it.

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lb_model::api::Timestamp;
use lb_model::status::{PoolStatus, Responses, ServerStatus, Status, VirtualServiceStatus};
use lb_model::value::Name;

use super::Proxy;
use crate::pool::{Pool, Server};
use crate::snapshot::ServiceState;
use crate::telemetry::metrics::{self, MetricsView, PoolView, ServerView, ServiceView};
use crate::telemetry::{Counter, PerWorker};

impl Proxy {
    /// All metrics, as Prometheus text.
    pub fn metrics(&self) -> String {
        let now = Instant::now();
        let present = self.current.load_full();
        let services = present.snapshot.services.iter();
        let pools = present.snapshot.pools.values();
        metrics::render(&MetricsView {
            workers: self.workers.len(),
            configurations: 1 + super::locked(&self.formers).count(),
            access_log_lines_dropped: self.dropped_lines.load(Ordering::Relaxed),
            pauses: &self.pauses,
            services: services
                .map(|(name, service)| ServiceView {
                    name,
                    counters: &service.state.counters,
                })
                .collect(),
            pools: pools.map(|pool| pool_view(pool, now)).collect(),
        })
    }

    /// What the virtual services, pools and servers of the configuration in force do.
    pub fn status(&self) -> Status {
        let clock = Clock::now();
        let present = self.current.load_full();
        let services = present.snapshot.services.iter();
        let pools = present.snapshot.pools.values();
        Status {
            virtual_services: services
                .filter_map(|(name, service)| {
                    let address = *present.addresses.get(name)?;
                    Some((name.clone(), service_status(&service.state, address)))
                })
                .collect(),
            pools: pools
                .map(|pool| (pool.name().clone(), pool_status(pool, &clock)))
                .collect(),
        }
    }

    /// Client connections of a virtual service that are open; none when there is no such service.
    pub fn connections_open(&self, service: &Name) -> Option<u64> {
        let present = self.current.load();
        let service = present.snapshot.services.get(service)?;
        Some(service.state.connections_open())
    }

    /// Requests (TCP: connections) that a server has in progress; none when there is no such server.
    pub fn in_progress(&self, pool: &Name, server: &Name) -> Option<u64> {
        let present = self.current.load();
        let pool = present.snapshot.pools.get(pool)?;
        pool.server_named(server).map(Server::load)
    }
}

fn pool_view(pool: &Pool, now: Instant) -> PoolView<'_> {
    let servers = pool.servers().iter();
    PoolView {
        name: pool.name(),
        queue_length: pool.queue_length(),
        persistence_entries: pool.persistence_entries(),
        servers: servers
            .map(|server| ServerView {
                name: server.name(),
                condition: server.status(now).condition,
                weight: server.weight(),
                counters: server.counters(),
            })
            .collect(),
    }
}

/// The same moment on both clocks.
struct Clock {
    now: Instant,
    time: SystemTime,
}

impl Clock {
    fn now() -> Self {
        Self {
            now: Instant::now(),
            time: SystemTime::now(),
        }
    }

    /// The time of a moment that has passed.
    fn timestamp(&self, moment: Instant) -> Timestamp {
        let ago = self.now.saturating_duration_since(moment);
        let time = self.time.checked_sub(ago).unwrap_or(UNIX_EPOCH);
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

fn service_status(state: &ServiceState, address: std::net::SocketAddr) -> VirtualServiceStatus {
    let counters = &state.counters;
    VirtualServiceStatus {
        address,
        connections_open: state.connections_open(),
        connections: counters.sum(|c| c.connections.get()),
        responses: responses(counters, |c| &c.responses),
        refused: counters.sum(|c| c.refused.get()),
        unavailable: counters.sum(|c| c.unavailable.get()),
        bytes_received: counters.sum(|c| c.bytes_received.get()),
        bytes_sent: counters.sum(|c| c.bytes_sent.get()),
        duration: counters.durations(|c| &c.duration),
    }
}

fn pool_status(pool: &Pool, clock: &Clock) -> PoolStatus {
    let servers = pool.servers().iter();
    PoolStatus {
        queue_length: pool.queue_length(),
        persistence_entries: pool.persistence_entries(),
        servers: servers
            .map(|server| (server.name().clone(), server_status(server, clock)))
            .collect(),
    }
}

fn server_status(server: &Server, clock: &Clock) -> ServerStatus {
    let status = server.status(clock.now);
    let counters = server.counters();
    let text = |text: Option<std::sync::Arc<str>>| text.map(|text| text.as_ref().to_owned());
    ServerStatus {
        address: server.address(),
        weight: server.weight(),
        condition: status.condition,
        reason: text(status.reason),
        since: clock.timestamp(status.since),
        probe: text(status.probe),
        in_progress: server.load(),
        requests: counters.sum(|c| c.requests.get()),
        connections: counters.sum(|c| c.connections.get()),
        connect_failures: counters.sum(|c| c.connect_failures.get()),
        failures: counters.sum(|c| c.failures.get()),
        retries: counters.sum(|c| c.retries.get()),
        responses: responses(counters, |c| &c.responses),
        bytes_received: counters.sum(|c| c.bytes_received.get()),
        bytes_sent: counters.sum(|c| c.bytes_sent.get()),
        response_time: counters.durations(|c| &c.response_time),
    }
}

fn responses<T>(counters: &PerWorker<T>, of: impl Fn(&T) -> &[Counter; 6]) -> Responses {
    let digit = |digit: usize| counters.sum(|c| of(c)[digit].get());
    Responses::from_digits([0, 1, 2, 3, 4, 5].map(digit))
}
