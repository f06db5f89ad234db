//! A running pool: its servers with their state, and the choice of one for a request.
//!
//! A [`Pool`] is shared by all workers and the health thread; each worker asks a [`LocalPool`] of its
//! own. Nothing shared is written while a request is placed, but for the turn of the algorithms that
//! go by turns, a table of persistence, and the count behind a limit, where these are configured.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_model::config::{
    Balance, Ejection, HealthCheck, Pool as Model, Queue, Reuse, ServerState as Administrative,
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

pub(crate) use lease::{Lease, Reason};
#[cfg(test)]
pub(crate) use local::Refusal;
pub(crate) use local::{LocalPool, TryRefusal};
pub(crate) use server::{Condition, Health, Server};
pub(crate) use tried::Tried;

pub(crate) use crate::balance::ServerIndex;
pub(crate) use crate::persistence::ClientKey;

use crate::balance::Turn;
use crate::persistence::{Persistence, Tag};
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
    /// Whether any server has a limit. Requests that began while none had are not counted against
    /// the first one that is set.
    limited: bool,
    by_tag: FxHashMap<Tag, ServerIndex>,
    /// How many configurations of this pool there were before.
    generation: u64,
    state: Arc<PoolState>,
}

/// What outlives a change of the configuration.
#[derive(Debug, Default)]
struct PoolState {
    /// Grows with every change of what servers are there for; workers look at nothing else to know
    /// whether their view still holds.
    epoch: AtomicU64,
    turn: Turn,
    limiter: Limiter,
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
    /// the same.
    pub(crate) fn build(
        name: &Name,
        model: &Model,
        workers: usize,
        previous: Option<&Self>,
    ) -> Arc<Self> {
        let now = now();
        let Model {
            description: _,
            servers,
            balance,
            persistence,
            health_check,
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
            let state = inherit(name, model, workers, previous, now);
            if health_check.is_none() {
                state.set_health(Health::Unchecked, now);
            }
            let drain_timeout = drain_timeout.map(Period::duration);
            let mut server = Server::build(name, model, tag, state, drain_timeout);
            server.set_cookie = persistence.as_ref().and_then(|p| p.set_cookie(tag));
            server
        });
        let servers: Box<[Server]> = servers.collect();
        let pool = Arc::new(Self {
            name: name.clone(),
            limited: servers.iter().any(|s| s.connections_max.is_some()),
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
            state: previous.map_or_else(Arc::default, |p| Arc::clone(&p.state)),
        });
        pool.changed(now);
        pool
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
        state.note_probe(finding);
        let news = state.set_health(health, now);
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
        server.state.eject(until, now);
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

/// The state of a server: its predecessor's if there is one, with what the operator changed.
fn inherit(
    name: &Name,
    model: &lb_model::config::Server,
    workers: usize,
    previous: Option<&Pool>,
    now: Instant,
) -> Arc<ServerState> {
    let predecessor = previous
        .and_then(|pool| pool.servers.iter().find(|server| server.name == *name))
        .filter(|server| server.address == model.address.socket_addr())
        .filter(|server| server.state.counters.iter().count() == workers.max(1));
    if let Some(server) = predecessor {
        let state = Arc::clone(&server.state);
        state.administer(server.administrative, model.state, now);
        return state;
    }
    let state = ServerState::new(workers, now);
    if model.state == Administrative::Draining {
        state.drain(now);
    }
    // A server that joins a running pool is as cold as one that came up.
    if previous.is_some() {
        state.warm(now);
    }
    Arc::new(state)
}

/// The time, which tests may hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
