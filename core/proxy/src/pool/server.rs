//! A server of a running pool, and what is known about it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_model::config::{Server as Model, ServerState as Administrative};
use lb_model::status::Condition;
use lb_model::value::Name;

use super::moment::AtomicMoment;
use crate::balance::hash::stable;
use crate::memory::ServerMemory;
use crate::persistence::Tag;
use crate::telemetry::access_log::ServerRecord;
use crate::telemetry::{PerWorker, ServerCounters};

/// A server of a running pool.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) name: Name,
    pub(super) address: SocketAddr,
    pub(super) weight: u32,
    pub(super) administrative: Administrative,
    pub(super) connections_max: Option<u32>,
    pub(super) drain_timeout: Option<Duration>,
    pub(super) tag: Tag,
    /// A hash of the name, for balancing by hash.
    pub(super) hash: u64,
    /// The line that names this server to a client, when the pool's persistence has one.
    pub(super) set_cookie: Option<Box<[u8]>>,
    pub(super) state: Arc<ServerState>,
}

/// What is known about a server. It outlives a change of the configuration that leaves the name and
/// the address of the server as they are.
#[derive(Debug)]
pub(crate) struct ServerState {
    /// Distinguishes it from every other that ever was.
    pub(super) id: ServerId,
    pub(super) counters: PerWorker<ServerCounters>,
    health: AtomicU8,
    pub(super) connect_failures: AtomicU32,
    pub(super) server_errors: AtomicU32,
    ejected_until: AtomicMoment,
    /// When it came up, or was enabled; its slow start counts from there.
    warming_since: AtomicMoment,
    draining_since: AtomicMoment,
    last: Mutex<Last>,
}

/// Names a [`ServerState`]: a server from its first configuration to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServerId(u64);

/// What probes say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// No probe has ended yet, or there is none: it counts as up.
    Unchecked,
    /// It passes.
    Up,
    /// It fails.
    Down,
}

/// What is only for people to read.
#[derive(Debug)]
struct Last {
    changed: Instant,
    reason: Option<Arc<str>>,
    probe: Option<Arc<str>>,
}

/// How a server is, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerStatus {
    /// What it is.
    pub(crate) condition: Condition,
    /// When its health, ejection or administrative state last changed.
    pub(crate) since: Instant,
    /// What changed it, unless it was the operator.
    pub(crate) reason: Option<Arc<str>>,
    /// What the last probe found.
    pub(crate) probe: Option<Arc<str>>,
}

/// What a server may be used for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) access: Access,
    /// When this will have changed without anybody's doing.
    pub(crate) until: Option<Instant>,
}

/// For whom a server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// For every client.
    Open,
    /// For clients that have a record of it.
    KnownOnly(Closed),
    /// For nobody.
    Nobody(Closed),
}

/// Why a server is not there for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Disabled,
    Down,
    DrainTimeout,
    Draining,
    Ejected,
    WeightZero,
}

impl Server {
    /// The server that the model describes.
    pub(super) fn build(
        name: &Name,
        model: &Model,
        tag: Tag,
        state: Arc<ServerState>,
        drain_timeout: Option<Duration>,
    ) -> Self {
        let Model {
            address,
            weight,
            state: administrative,
            connections_max,
        } = model;
        Self {
            name: name.clone(),
            address: address.socket_addr(),
            weight: u32::from(weight.get()),
            administrative: *administrative,
            connections_max: *connections_max,
            drain_timeout,
            tag,
            hash: stable(&[name.as_str().as_bytes()]),
            set_cookie: None,
            state,
        }
    }

    /// The name, unique in the pool.
    pub(crate) const fn name(&self) -> &Name {
        &self.name
    }

    /// Where the server is reached.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server as the access log names it.
    pub(crate) const fn record(&self) -> ServerRecord<'_> {
        ServerRecord {
            name: &self.name,
            address: self.address,
        }
    }

    /// The share of traffic relative to the other servers.
    pub(crate) const fn weight(&self) -> u32 {
        self.weight
    }

    /// The operator's wish.
    pub(crate) const fn administrative(&self) -> Administrative {
        self.administrative
    }

    /// What distinguishes it from every other server that ever was.
    pub(crate) fn id(&self) -> ServerId {
        self.state.id
    }

    /// What every worker counts.
    pub(crate) fn counters(&self) -> &PerWorker<ServerCounters> {
        &self.state.counters
    }

    /// What probes say.
    pub(crate) fn health(&self) -> Health {
        self.state.health()
    }

    /// Requests and connections in progress, over all workers.
    pub(crate) fn load(&self) -> u64 {
        // Those ended are read first: read last, they might outnumber those begun.
        let ended = self.state.counters.sum(|c| c.requests_ended.get());
        let begun = self.state.counters.sum(|c| c.requests.get());
        begun.saturating_sub(ended)
    }

    /// How the server is, for people to read.
    pub(crate) fn status(&self, now: Instant) -> ServerStatus {
        let (since, reason, probe) = self.state.last();
        let condition = match (self.administrative, self.state.health()) {
            (Administrative::Disabled, _) => Condition::Disabled,
            (_, Health::Down) => Condition::Down,
            (_, Health::Unchecked | Health::Up) if self.state.ejected(now).is_some() => {
                Condition::Ejected
            }
            (Administrative::Draining, _) => Condition::Draining,
            (Administrative::Enabled, Health::Unchecked) => Condition::Unchecked,
            (Administrative::Enabled, Health::Up) => Condition::Up,
        };
        ServerStatus {
            condition,
            since,
            reason,
            probe,
        }
    }

    /// Whom the server is there for.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        let forever = |access| Standing {
            access,
            until: None,
        };
        if self.administrative == Administrative::Disabled {
            return forever(Access::Nobody(Closed::Disabled));
        }
        if self.state.health() == Health::Down {
            return forever(Access::Nobody(Closed::Down));
        }
        if let Some(until) = self.state.ejected(now) {
            return Standing {
                access: Access::Nobody(Closed::Ejected),
                until: Some(until),
            };
        }
        self.willing(now)
    }

    /// Whom a healthy server is there for.
    fn willing(&self, now: Instant) -> Standing {
        let drained = self
            .drain_timeout
            .filter(|_| self.administrative == Administrative::Draining)
            .zip(self.state.draining_since.load())
            .and_then(|(timeout, since)| since.checked_add(timeout));
        let access = match self.administrative {
            Administrative::Disabled => Access::Nobody(Closed::Disabled),
            Administrative::Draining if drained.is_some_and(|end| end <= now) => {
                Access::Nobody(Closed::DrainTimeout)
            }
            Administrative::Draining => Access::KnownOnly(Closed::Draining),
            Administrative::Enabled if self.weight == 0 => Access::KnownOnly(Closed::WeightZero),
            Administrative::Enabled => Access::Open,
        };
        Standing {
            access,
            until: drained.filter(|end| *end > now),
        }
    }

    /// Whom the server would be there for if it were not ejected.
    pub(super) fn standing_unless_ejected(&self, now: Instant) -> Access {
        match self.standing(now).access {
            Access::Nobody(Closed::Ejected) => self.willing(now).access,
            standing @ (Access::Open | Access::KnownOnly(_) | Access::Nobody(_)) => standing,
        }
    }
}

impl ServerState {
    /// What is known about a server that nobody has met.
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: ServerId(IDS.fetch_add(1, Ordering::Relaxed)),
            counters: PerWorker::new(workers),
            health: AtomicU8::new(Health::Unchecked as u8),
            connect_failures: AtomicU32::new(0),
            server_errors: AtomicU32::new(0),
            ejected_until: AtomicMoment::default(),
            warming_since: AtomicMoment::default(),
            draining_since: AtomicMoment::default(),
            last: Mutex::new(Last {
                changed: now,
                reason: None,
                probe: None,
            }),
        }
    }

    /// What probes say.
    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            up if up == Health::Up as u8 => Health::Up,
            down if down == Health::Down as u8 => Health::Down,
            _ => Health::Unchecked,
        }
    }

    /// Notes what probes say; whether that is news.
    pub(super) fn set_health(
        &self,
        health: Health,
        now: Instant,
        reason: Option<Arc<str>>,
    ) -> bool {
        let before = self.health();
        self.health.store(health as u8, Ordering::Release);
        if before == Health::Down && health == Health::Up {
            self.warm(now);
        }
        if before != health {
            self.note_change(now, reason);
        }
        before != health
    }

    /// Notes what the last probe found.
    pub(super) fn note_probe(&self, probe: Arc<str>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.probe = Some(probe);
    }

    /// Notes that the administrative state changed.
    pub(super) fn administer(&self, before: Administrative, after: Administrative, now: Instant) {
        if before == after {
            return;
        }
        let draining = (after == Administrative::Draining).then_some(now);
        self.draining_since.store(draining);
        if after == Administrative::Enabled {
            self.warm(now);
        }
        if before == Administrative::Disabled {
            // Nobody probed it meanwhile: what was known is stale.
            self.set_health(Health::Unchecked, now, None);
        }
        self.note_change(now, None);
    }

    /// Begins a slow start.
    pub(super) fn warm(&self, now: Instant) {
        self.warming_since.store(Some(now));
    }

    /// When the slow start began, if there was one.
    pub(super) fn warming_since(&self) -> Option<Instant> {
        self.warming_since.load()
    }

    /// Begins to count the time that clients may stay, unless that has begun.
    pub(super) fn drain(&self, now: Instant) {
        if self.draining_since.load().is_none() {
            self.draining_since.store(Some(now));
        }
    }

    /// Takes the server out until then.
    pub(super) fn eject(&self, until: Instant, now: Instant, reason: Arc<str>) {
        self.ejected_until.store(Some(until));
        self.connect_failures.store(0, Ordering::Relaxed);
        self.server_errors.store(0, Ordering::Relaxed);
        self.note_change(now, Some(reason));
    }

    /// Until when the server is out.
    pub(super) fn ejected(&self, now: Instant) -> Option<Instant> {
        self.ejected_until.load().filter(|until| *until > now)
    }

    /// Ends an ejection whose time has come; true for the one caller that did.
    pub(super) fn end_ejection(&self, now: Instant) -> bool {
        let ended = self
            .ejected_until
            .load()
            .is_some_and(|until| until <= now && self.ejected_until.clear(until));
        if ended {
            self.warm(now);
            self.note_change(now, Some("the ejection is over".into()));
        }
        ended
    }

    /// What a successor of this process needs.
    pub(super) fn memory(&self, address: SocketAddr, now: Instant) -> ServerMemory {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (_, reason, _) = self.last();
        ServerMemory {
            address,
            is_up: match self.health() {
                Health::Unchecked => None,
                Health::Up => Some(true),
                Health::Down => Some(false),
            },
            reason: reason.map(|reason| reason.as_ref().to_owned()),
            ejected_for_ms: self
                .ejected(now)
                .map(|until| millis(until.saturating_duration_since(now))),
            draining_for_ms: self
                .draining_since
                .load()
                .map(|since| millis(now.saturating_duration_since(since))),
        }
    }

    /// Takes over what a predecessor has left. Nobody uses the server yet.
    pub(super) fn recall(&self, memory: &ServerMemory, now: Instant) {
        let health = match memory.is_up {
            None => Health::Unchecked,
            Some(true) => Health::Up,
            Some(false) => Health::Down,
        };
        self.health.store(health as u8, Ordering::Release);
        let until = |millis| now.checked_add(Duration::from_millis(millis));
        let since = |millis| now.checked_sub(Duration::from_millis(millis));
        self.ejected_until
            .store(memory.ejected_for_ms.and_then(until));
        self.draining_since
            .store(memory.draining_for_ms.and_then(since));
        self.note_change(now, memory.reason.as_deref().map(Arc::from));
    }

    fn note_change(&self, now: Instant, reason: Option<Arc<str>>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.changed = now;
        last.reason = reason;
    }

    fn last(&self) -> (Instant, Option<Arc<str>>, Option<Arc<str>>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.changed, last.reason.clone(), last.probe.clone())
    }
}
