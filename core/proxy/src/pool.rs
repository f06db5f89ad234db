//! A running pool: its servers with their state, and the choice of one for a request.
//!
//! A [`Pool`] is shared by all workers and the health thread; each worker asks a [`LocalPool`] of its
//! own. Nothing shared is written while a request is placed, but for the turn of the algorithms that
//! go by turns, a table of persistence, and the count behind a limit, where these are configured.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_model::config::{
    Balance, Ejection, HealthCheck, Http2WithServers, Pool as Model, Queue, Reuse,
    ServerState as Administrative,
};
use lb_model::value::{Name, Period};
use rustc_hash::FxHashMap;

mod explain;
mod lease;
mod limiter;
mod local;
mod moment;
mod retry_budget;
mod server;
mod tried;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use lease::{Held, Lease, Reason};
pub(crate) use local::{LocalPool, Refusal, TryRefusal};
pub(crate) use server::{Health, Server, ServerId};
pub(crate) use tried::Tried;

pub(crate) use crate::balance::ServerIndex;
pub(crate) use crate::persistence::ClientKey;

use crate::balance::Turn;
use crate::memory::PoolMemory;
use crate::persistence::{Persistence, Tag};
use crate::telemetry::PerWorker;
use crate::tls::{ServersTls, Speak};
use limiter::Limiter;
use server::{Access, ServerState};

/// A running pool.
#[derive(Debug)]
pub(crate) struct Pool {
    name: Name,
    servers: Box<[Server]>,
    balance: Balance,
    persistence: Option<Persistence>,
    health_check: Option<HealthCheck>,
    ejection: Ejection,
    slow_start: Option<Duration>,
    connect_timeout: Duration,
    response_timeout: Duration,
    retries: u8,
    retry_budget_percent: u8,
    queue: Queue,
    reuse: Reuse,
    /// Whether nothing may go to its servers in the open.
    confidential: bool,
    tls: Option<Arc<ServersTls>>,
    http2: Http2WithServers,
    /// Whether any server has a limit.
    limited: bool,
    by_tag: FxHashMap<Tag, ServerIndex>,
    /// How many configurations of this pool there were before.
    generation: u64,
    state: Arc<PoolState>,
}

/// What outlives a change of the configuration.
#[derive(Debug)]
struct PoolState {
    /// Grows with every change of what servers are there for; workers look at nothing else to know
    /// whether their view still holds.
    epoch: AtomicU64,
    /// The configuration of the pool that is in force; all bits set when it is in none any more.
    generation: AtomicU64,
    turn: Turn,
    limiter: Limiter,
    /// Whether all that a worker has in progress, and all that it begins, holds places in the
    /// limiter. Only that worker writes it, when it goes over to another configuration.
    counted: PerWorker<AtomicBool>,
    /// Held while deciding on an ejection: two workers must not eject the last two servers.
    ejecting: Mutex<()>,
}

/// What became of an attempt to use a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A connection opened.
    Connected,
    /// A connection did not open.
    ConnectFailed,
    /// The server closed, stalled or sent nonsense instead of a whole response.
    Failed,
    /// A response began with this status.
    Status(u16),
}

impl Pool {
    /// The pool that the model describes, for this many workers. A server of `previous` with the
    /// same name and address keeps its state; tables of persistence go on if their keys still mean
    /// the same. Nothing of `previous` is changed by it: that begins with [`Pool::enter`].
    pub(crate) fn build(
        name: &Name,
        model: &Model,
        workers: usize,
        previous: Option<&Self>,
        servers_tls: Option<Arc<ServersTls>>,
    ) -> Arc<Self> {
        let now = now();
        let Model {
            description: _,
            servers,
            balance,
            persistence,
            health_check,
            tls,
            http2,
            ejection,
            slow_start,
            connect_timeout,
            response_timeout,
            drain_timeout,
            retries,
            retry_budget_percent,
            queue,
            reuse,
        } = model;
        let persistence = persistence.as_ref().map(|model| {
            let previous = previous.and_then(|previous| previous.persistence.as_ref());
            Persistence::build(model, previous)
        });
        let tags = Tag::of_servers(name, servers.keys());
        let servers = servers.iter().zip(tags).map(|((name, model), tag)| {
            let state = previous
                .and_then(|previous| previous.predecessor(name, model, workers))
                .map_or_else(
                    || Arc::new(ServerState::new(workers, now)),
                    |server| Arc::clone(&server.state),
                );
            let drain_timeout = drain_timeout.map(Period::duration);
            let mut server = Server::build(name, model, tag, state, drain_timeout);
            server.set_cookie = persistence.as_ref().and_then(|p| p.set_cookie(tag));
            server
        });
        let servers: Box<[Server]> = servers.collect();
        let limited = servers.iter().any(|s| s.connections_max.is_some());
        Arc::new(Self {
            name: name.clone(),
            limited,
            by_tag: (0..)
                .map(ServerIndex::new)
                .zip(&servers)
                .map(|(i, s)| (s.tag, i))
                .collect(),
            generation: previous.map_or(0, |previous| previous.generation + 1),
            servers,
            balance: *balance,
            persistence,
            health_check: health_check.clone(),
            ejection: ejection.clone(),
            slow_start: slow_start.map(Period::duration),
            connect_timeout: connect_timeout.duration(),
            response_timeout: response_timeout.duration(),
            retries: *retries,
            retry_budget_percent: *retry_budget_percent,
            queue: queue.clone(),
            reuse: reuse.clone(),
            confidential: tls.is_some(),
            tls: servers_tls,
            http2: *http2,
            state: previous.map_or_else(
                || Arc::new(PoolState::new(workers, limited)),
                |previous| Arc::clone(&previous.state),
            ),
        })
    }

    /// TLS with its servers, where that is spoken.
    pub(crate) const fn tls(&self) -> Option<&Arc<ServersTls>> {
        self.tls.as_ref()
    }

    /// Which versions of HTTP its servers are asked to speak.
    pub(crate) const fn speak(&self) -> Speak {
        match (self.http2, self.confidential) {
            (Http2WithServers::Never, _) | (Http2WithServers::Offered, false) => Speak::Http1,
            (Http2WithServers::Offered, true) => Speak::Either,
            (Http2WithServers::Always, _) => Speak::Http2,
        }
    }

    /// Whether nothing may go to its servers in the open, and there is no TLS.
    pub(crate) const fn is_barred(&self) -> bool {
        self.confidential && self.tls.is_none()
    }

    /// The server that goes on as the one of this name in the next configuration.
    fn predecessor(
        &self,
        name: &Name,
        model: &lb_model::config::Server,
        workers: usize,
    ) -> Option<&Server> {
        self.find(name)
            .filter(|server| server.address == model.address.socket_addr())
            .filter(|server| server.state.counters.iter().count() == workers.max(1))
    }

    fn find(&self, name: &Name) -> Option<&Server> {
        let found = self.servers.binary_search_by(|s| s.name.cmp(name));
        found.ok().and_then(|position| self.servers.get(position))
    }

    /// What a successor of this process needs.
    pub(crate) fn memory(&self) -> PoolMemory {
        let now = now();
        let mut memory = PoolMemory::default();
        for server in &self.servers {
            let state = server.state.memory(server.address, now);
            memory.servers.insert(server.name.clone(), state);
        }
        if let Some(persistence) = &self.persistence {
            persistence.note(&mut memory, now);
        }
        memory
    }

    /// Takes over what a predecessor of this process has left, before the pool comes into force.
    pub(crate) fn recall(&self, memory: &PoolMemory) {
        let now = now();
        for server in &self.servers {
            let known = memory.servers.get(&server.name);
            if let Some(known) = known.filter(|known| known.address == server.address) {
                server.state.recall(known, now);
            }
        }
        if let Some(persistence) = &self.persistence {
            persistence.recall(memory, now);
        }
    }

    /// Comes into force in the place of `previous`: servers learn what the operator has changed, and
    /// limits hold. Requests that wait are not disturbed before [`Pool::settle`].
    pub(crate) fn enter(&self, previous: Option<&Self>) {
        let now = now();
        for server in &self.servers {
            let state = &server.state;
            let before = previous
                .and_then(|previous| previous.find(&server.name))
                .filter(|before| Arc::ptr_eq(&before.state, state));
            if let Some(before) = before {
                state.administer(before.administrative, server.administrative, now);
            } else {
                if server.administrative == Administrative::Draining {
                    state.drain(now);
                }
                // A server that joins a running pool is as cold as one that came up.
                if previous.is_some() {
                    state.warm(now);
                }
            }
            if self.health_check.is_none() {
                state.set_health(Health::Unchecked, now, None);
            }
        }
        self.state.epoch.fetch_add(1, Ordering::Release);
        self.state
            .generation
            .store(self.generation, Ordering::Release);
        self.state.limiter.enter(self, now);
    }

    /// Every worker uses this configuration: requests that wait under an earlier one decide anew.
    pub(crate) fn settle(&self) {
        self.state.limiter.supersede(self.generation);
        // What was noted of servers under the earlier one since then has woken nobody.
        self.changed(now());
    }

    /// No configuration has this pool any more: requests that wait for it decide anew.
    pub(crate) fn leave(&self) {
        self.state.generation.store(u64::MAX, Ordering::Release);
        self.state.limiter.supersede(u64::MAX);
    }

    /// Whether another configuration of the pool is in force.
    fn is_superseded(&self) -> bool {
        self.state.generation.load(Ordering::Acquire) > self.generation
    }

    /// Which servers of `previous` go on here, by their positions there: for each server the one it
    /// was, and none for a server that is new.
    pub(crate) fn carried(&self, previous: &Self) -> Box<[Option<ServerIndex>]> {
        let same = |server: &Server| {
            let found = previous
                .servers
                .binary_search_by(|s| s.name.cmp(&server.name));
            let position = found.ok()?;
            let before = previous.servers.get(position)?;
            Arc::ptr_eq(&before.state, &server.state).then(|| ServerIndex::new(position))
        };
        self.servers.iter().map(same).collect()
    }

    /// The pool's name.
    pub(crate) const fn name(&self) -> &Name {
        &self.name
    }

    /// The servers, in the order of their names.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One server; the index must come from this pool.
    pub(crate) fn server(&self, index: ServerIndex) -> &Server {
        &self.servers[index.position()]
    }

    /// How servers are probed.
    pub(crate) const fn health_check(&self) -> Option<&HealthCheck> {
        self.health_check.as_ref()
    }

    /// How connections to servers are kept and shared.
    pub(crate) const fn reuse(&self) -> &Reuse {
        &self.reuse
    }

    /// How long a connection to a server may take to open.
    pub(crate) const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long a server may stay silent.
    pub(crate) const fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// How many further servers a request may try.
    pub(crate) const fn retries(&self) -> u8 {
        self.retries
    }

    /// The cookie whose value goes into [`ClientKey`]; none when no cookie matters.
    pub(crate) fn cookie_name(&self) -> Option<&[u8]> {
        self.persistence.as_ref()?.cookie_name()
    }

    /// Whether the values that servers give to that cookie belong into [`LocalPool::learn`].
    pub(crate) fn learns_cookie(&self) -> bool {
        self.persistence.as_ref().is_some_and(Persistence::learns)
    }

    /// How many clients persistence remembers; none when it needs no memory.
    pub(crate) fn persistence_entries(&self) -> Option<u64> {
        self.persistence
            .as_ref()
            .filter(|p| p.has_table())
            .map(|p| p.entries() as u64)
    }

    /// How many requests wait for a server.
    pub(crate) fn queue_length(&self) -> u64 {
        if self.limited {
            self.state.limiter.waiting() as u64
        } else {
            0
        }
    }

    /// Whether any server has a limit.
    pub(crate) const fn limits(&self) -> bool {
        self.limited
    }

    /// One server by its name.
    pub(crate) fn server_named(&self, name: &Name) -> Option<&Server> {
        self.find(name)
    }

    /// Notes what became of an attempt to use a server; too many failures in a row eject it.
    pub(crate) fn report(&self, index: ServerIndex, outcome: Outcome) {
        let state = &self.server(index).state;
        let (count, failed, limit, what) = match outcome {
            Outcome::Connected | Outcome::ConnectFailed => (
                &state.connect_failures,
                outcome == Outcome::ConnectFailed,
                self.ejection.connect_failures,
                "connections failed",
            ),
            Outcome::Failed => (
                &state.server_errors,
                true,
                self.ejection.server_errors,
                "errors",
            ),
            Outcome::Status(status) => (
                &state.server_errors,
                (500..600).contains(&status),
                self.ejection.server_errors,
                "errors",
            ),
        };
        if !failed {
            // Usually there is nothing to clear, and then nothing shared is written.
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if limit > 0 && failures >= u32::from(limit) {
            self.eject(index, what, failures);
        }
    }

    /// Notes what probes say of a server.
    pub(crate) fn mark(&self, index: ServerIndex, health: Health, finding: Arc<str>) -> bool {
        let now = now();
        let state = &self.server(index).state;
        state.note_probe(Arc::clone(&finding));
        let news = state.set_health(health, now, Some(finding));
        if news {
            self.changed(now);
        }
        news
    }

    /// Takes a server out for a while, unless it is the last one.
    fn eject(&self, index: ServerIndex, what: &str, failures: u32) {
        let _guard = self
            .state
            .ejecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let server = self.server(index);
        let others = self.servers.iter().filter(|other| other.tag != server.tag);
        let open = |server: &Server| server.standing(now).access == Access::Open;
        if server.state.ejected(now).is_some() || !others.into_iter().any(open) {
            return;
        }
        let Some(until) = now.checked_add(self.ejection.duration.duration()) else {
            return;
        };
        let reason = format!("{failures} {what} in a row");
        server.state.eject(until, now, reason.into());
        self.changed(now);
        tracing::warn!(
            pool = %self.name,
            server = %server.name,
            failures,
            reason = what,
            duration = %self.ejection.duration,
            "server ejected"
        );
    }

    /// Takes back servers whose ejection is over.
    fn end_ejections(&self, now: Instant) {
        for server in &self.servers {
            if server.state.end_ejection(now) {
                self.changed(now);
                tracing::info!(pool = %self.name, server = %server.name, "ejection ended");
            }
        }
    }

    /// Makes every worker look again, and wakes who waits for what has become free.
    fn changed(&self, now: Instant) {
        self.state.epoch.fetch_add(1, Ordering::Release);
        self.state.limiter.update(self, now);
    }

    /// The client's address as far as it identifies a client here.
    fn client(&self, client: IpAddr) -> u128 {
        match &self.persistence {
            Some(persistence) => persistence.mask(client),
            None => crate::persistence::bits(client),
        }
    }
}

impl PoolState {
    fn new(workers: usize, limited: bool) -> Self {
        let counted = PerWorker::<AtomicBool>::new(workers);
        for counted in counted.iter() {
            // Nothing of a pool that nobody has met is in progress.
            counted.store(limited, Ordering::Relaxed);
        }
        Self {
            epoch: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            turn: Turn::default(),
            limiter: Limiter::default(),
            counted,
            ejecting: Mutex::default(),
        }
    }
}

/// The time, which tests may hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
