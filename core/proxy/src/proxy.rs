//! The running data plane: its threads, and the few things that can be asked of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use lb_model::ValidConfig;
use lb_model::value::Name;

use crate::disposal::Disposal;
use crate::limit::Limit;
use crate::listener::{BindError, Bound, Hold, SocketKind, Sockets};
use crate::memory::Memory;
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::AccessSink;
use crate::telemetry::{Histogram, PerWorker};
use crate::tls::{Material, TicketKeys};
use crate::worker::{AccessLog, Command, Common, Done, LogSwitch};

mod change;
mod former;
mod thread;
mod view;

#[cfg(test)]
mod tests;

use change::{Change, Log};
use former::Formers;
use thread::{FreeingThread, HealthCommand, HealthThread, WorkerThread};

/// How a proxy runs, besides its configuration.
pub struct Options {
    /// How many cores serve.
    pub workers: NonZeroUsize,
    /// The most client connections at a time that the process can carry; a configuration may ask for
    /// fewer.
    pub connections_max: usize,
    /// Where lines of the access log go while the configuration has one. Without it none are written,
    /// whatever the configuration says.
    pub access_log: Option<Arc<dyn AccessSink>>,
    /// Where listening sockets come from.
    pub sockets: Arc<dyn Sockets>,
    /// What a predecessor has left.
    pub memory: Memory,
    /// Certificates and authorities.
    pub material: Material,
}

/// Why a proxy did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A thread or its event loop could not be made.
    #[error("a worker could not be started")]
    Thread(#[source] io::Error),
}

/// A running data plane. Dropping it ends it at once; [`Proxy::drain`] lets requests finish.
///
/// Its configuration changes in two steps: [`Proxy::prepare`] builds everything and may fail without
/// effect, [`Proxy::commit`] cannot fail.
///
/// What a change promises:
/// - Each worker goes over between two turns of its connections, to all of the change at once. A request
///   is served from its first decision to its last by one configuration; only a request that waits in
///   a queue when its pool changes is decided about anew. When `commit` returns, every request and every
///   connection that begins meets the new configuration.
/// - What the change does not name goes on: listening sockets, client connections, idle connections to
///   servers, counters, health, persistence, limits. Whatever is in progress finishes.
/// - Virtual services are known by their name, servers by name and address. A virtual service whose
///   address stays keeps its socket, whatever else changes, also when the address goes to another one.
/// - A virtual service that is removed or moves: what the kernel has accepted for it is still served, idle
///   connections close, others after their present request, tunnels at their own end.
/// - A server that is removed, disabled or moves gets no new requests; idle connections to it close,
///   others when what they carry has ended.
pub struct Proxy {
    current: ArcSwap<Generation>,
    formers: Mutex<Formers>,
    /// Held while the configuration changes: one after the other.
    changing: Mutex<()>,
    listening: Mutex<Holds>,
    /// Every socket that is or may still be in use.
    bound: Mutex<Vec<Weak<Bound>>>,
    sockets: Arc<dyn Sockets>,
    connections: Arc<Limit>,
    connections_max: usize,
    ticket_keys: Arc<TicketKeys>,
    access_log: Mutex<Option<Arc<dyn AccessSink>>>,
    dropped_lines: Arc<AtomicU64>,
    pauses: Arc<PerWorker<Histogram>>,
    draining: AtomicBool,
    workers: Vec<WorkerThread>,
    health: Option<HealthThread>,
    freeing: Option<FreeingThread>,
}

/// A configuration that is in force, or will be.
#[derive(Default)]
struct Generation {
    number: u64,
    snapshot: Snapshot,
    addresses: BTreeMap<Name, SocketAddr>,
    log: Option<Log>,
}

/// A configuration that is ready to come into force. Dropped, it leaves nothing behind.
#[must_use = "a change takes effect with `Proxy::commit`"]
pub struct Prepared {
    /// The generation that it was built upon.
    base: u64,
    snapshot: Snapshot,
    change: Change,
    bound: Holds,
    connections_max: Option<u32>,
    log: Option<lb_model::config::AccessLogFormat>,
    sink: Sink,
}

/// Where lines of the access log go from a change on.
enum Sink {
    AsBefore,
    To(Option<Arc<dyn AccessSink>>),
}

/// What a drain has left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were cut at the deadline.
    pub connections_cut: usize,
}

/// How long a drain waits for a worker beyond the deadline it was given.
const WORKER_GRACE: Duration = Duration::from_secs(1);

/// How long a socket of ours that is being closed at this moment is waited for.
const CLOSING_MAX: Duration = Duration::from_millis(100);

impl Prepared {
    /// Lines of the access log go here from then on; none writes no log. Without this they go where
    /// they go now.
    pub fn with_access_log(mut self, sink: Option<Arc<dyn AccessSink>>) -> Self {
        self.sink = Sink::To(sink);
        self
    }

    /// Where each enabled virtual service will listen.
    pub fn addresses(&self) -> BTreeMap<Name, SocketAddr> {
        addresses(&self.bound)
    }
}

/// The sockets of virtual services.
type Holds = BTreeMap<(Name, SocketKind), Hold>;

fn addresses(bound: &Holds) -> BTreeMap<Name, SocketAddr> {
    let streams = bound
        .iter()
        .filter(|((_, kind), _)| *kind == SocketKind::Stream);
    streams
        .map(|((name, _), hold)| (name.clone(), hold.bound().local()))
        .collect()
}

impl Proxy {
    /// Binds every virtual service and starts serving.
    pub fn start(config: &ValidConfig, options: Options) -> Result<Self, StartError> {
        let Options {
            workers: count,
            connections_max,
            access_log,
            sockets,
            memory,
            material,
        } = options;
        let ticket_keys = Arc::new(TicketKeys::default());
        ticket_keys.recall(&memory.tickets);
        let (disposal, disposed) = Disposal::new();
        let common = Common {
            count: count.get(),
            connections: Arc::new(Limit::new(connections_max)),
            disposal,
            pauses: Arc::new(PerWorker::new(count.get())),
            challenges: Arc::clone(&material.challenges),
        };
        let connections = Arc::clone(&common.connections);
        let pauses = Arc::clone(&common.pauses);
        let mut proxy = Self {
            current: ArcSwap::default(),
            formers: Mutex::default(),
            changing: Mutex::default(),
            listening: Mutex::default(),
            bound: Mutex::default(),
            sockets,
            connections,
            connections_max,
            ticket_keys,
            access_log: Mutex::new(access_log),
            dropped_lines: Arc::default(),
            pauses,
            draining: AtomicBool::new(false),
            workers: Vec::new(),
            health: None,
            freeing: None,
        };
        for index in 0..count.get() {
            let thread = WorkerThread::start(index, common.clone());
            proxy.workers.push(thread.map_err(StartError::Thread)?);
        }
        // Of the senders only those of the workers are left: it ends when they have.
        drop(common);
        let freeing = FreeingThread::start(disposed).map_err(StartError::Thread)?;
        proxy.freeing = Some(freeing);
        let health = HealthThread::start().map_err(StartError::Thread)?;
        proxy.health = Some(health);
        let prepared = proxy.prepare(config, &material)?;
        prepared.snapshot.recall(&memory);
        proxy.commit(prepared);
        Ok(proxy)
    }

    /// What a process that takes the place of this one needs besides the configuration: which server
    /// each client has, and how the servers are.
    pub fn memory(&self) -> Memory {
        self.current.load().snapshot.memory(&self.ticket_keys)
    }

    /// Builds what a configuration describes and binds what it needs, without any effect on what
    /// runs. A socket that is bound here is one that the kernel accepts connections for already; they wait
    /// for the commit, and are reset when there is none.
    ///
    /// Several may be prepared at a time. Each describes a whole configuration: one that is committed
    /// after another one replaces it.
    ///
    /// # Errors
    /// An address could not be bound.
    pub fn prepare(
        &self,
        config: &ValidConfig,
        material: &Material,
    ) -> Result<Prepared, BindError> {
        let base = self.current.load_full();
        let config = config.config();
        let workers = self.workers.len();
        let keys = &self.ticket_keys;
        let snapshot = Snapshot::build(config, material, keys, workers, Some(&base.snapshot));
        let bound = self.bind(&snapshot)?;
        let listening = locked(&self.listening).clone();
        let change = Change::between(&base.snapshot, &snapshot, (&listening, &bound), workers);
        Ok(Prepared {
            base: base.number,
            snapshot,
            change,
            bound,
            connections_max: config.limits.connections_max,
            log: config.telemetry.access_log.as_ref().map(|log| log.format),
            sink: Sink::AsBefore,
        })
    }

    /// Sockets for every virtual service: those that are in use at its address, or new ones.
    fn bind(&self, snapshot: &Snapshot) -> Result<Holds, BindError> {
        let listening = locked(&self.listening).clone();
        let mut sockets = BTreeMap::new();
        for (name, service) in &snapshot.services {
            let mut bind = |address, kind| {
                let key = (name.clone(), kind);
                let own = listening.get(&key);
                let own = own.filter(|own| own.bound().serves(name, address, kind));
                let hold = match own {
                    Some(own) => own.clone(),
                    None => self.bind_one(name, address, kind)?,
                };
                let local = hold.bound().local();
                sockets.insert(key, hold);
                Ok(local)
            };
            let local = bind(service.address, SocketKind::Stream)?;
            if service.quic.is_some() {
                bind(local, SocketKind::Datagram)?;
            }
        }
        Ok(sockets)
    }

    fn bind_one(
        &self,
        name: &Name,
        address: SocketAddr,
        kind: SocketKind,
    ) -> Result<Hold, BindError> {
        let mut known = locked(&self.bound);
        let until = Instant::now() + CLOSING_MAX;
        let mut closing = false;
        loop {
            let all = known.len();
            known.retain(|bound| bound.strong_count() > 0);
            closing |= known.len() < all;
            for bound in known.iter().filter_map(Weak::upgrade) {
                closing |= bound.is_ended();
                // Another virtual service may have it, or it is about to be closed.
                if bound.serves(name, address, kind)
                    && let Some(hold) = bound.hold()
                {
                    return Ok(hold);
                }
            }
            let workers = self.workers.len();
            let error = match Bound::listen(&self.sockets, name, address, kind, workers) {
                Ok(bound) => {
                    known.push(Arc::downgrade(&bound));
                    // Nobody else knows it yet, so nobody has begun to close it.
                    if let Some(hold) = bound.hold() {
                        return Ok(hold);
                    }
                    continue;
                }
                Err(error) => error,
            };
            // It may be in use by one of ours that is being closed at this moment.
            let in_use = error.source.kind() == io::ErrorKind::AddrInUse;
            if !in_use || !closing || Instant::now() > until {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Puts a configuration in force. When it returns, every worker has gone over to it and nothing
    /// begins under the former one any more. It waits for a turn of each worker, which takes
    /// milliseconds at most. A proxy that drains changes no more.
    pub fn commit(&self, prepared: Prepared) {
        let Prepared {
            base,
            snapshot,
            change,
            bound,
            connections_max,
            log: format,
            sink,
        } = prepared;
        let _one_at_a_time = locked(&self.changing);
        if self.draining.load(Ordering::Acquire) {
            return;
        }
        let present = self.current.load_full();
        let workers = self.workers.len();
        let (snapshot, mut change) = if base == present.number {
            (snapshot, change)
        } else {
            // Something else has come into force meanwhile: what is in common with that has to be
            // found out anew. The sockets are here already.
            let snapshot = Snapshot::build(
                snapshot.config(),
                snapshot.material(),
                &self.ticket_keys,
                workers,
                Some(&present.snapshot),
            );
            let listening = locked(&self.listening).clone();
            let moved = (&listening, &bound);
            let change = Change::between(&present.snapshot, &snapshot, moved, workers);
            (snapshot, change)
        };
        if let Sink::To(sink) = sink {
            *locked(&self.access_log) = sink;
        }
        let log = locked(&self.access_log)
            .clone()
            .zip(format)
            .map(|(sink, format)| Log { sink, format });
        if log != present.log {
            for switch in &mut change.switches {
                switch.log = LogSwitch::Set(log.clone().map(|log| self.worker_log(log)));
            }
        }
        let connections_max = connections_max.map_or(Limit::NONE, |max| max as usize);
        self.connections
            .set(connections_max.min(self.connections_max));
        let next = Arc::new(Generation {
            number: present.number + 1,
            addresses: addresses(&bound),
            snapshot,
            log,
        });
        self.enter(change, &next);
        locked(&self.formers).note(&present.snapshot, &next.snapshot);
        self.current.store(next);
        // The former sockets are closed by who accepts on them.
        *locked(&self.listening) = bound;
    }

    fn worker_log(&self, log: Log) -> AccessLog {
        AccessLog::new(log.sink, log.format, Arc::clone(&self.dropped_lines))
    }

    /// Takes all parts of the proxy over to a change, in an order in which none of them is ahead of what
    /// it needs.
    fn enter(&self, change: Change, next: &Generation) {
        let Change {
            pools,
            pools_gone,
            services,
            unwatched,
            switches,
        } = change;
        // No probe speaks of a server any more that is not to be probed.
        self.tell_health(|done| HealthCommand::Stop(unwatched, done));
        for (pool, previous) in &pools {
            pool.enter(previous.as_deref());
        }
        for service in &services {
            service.state.connections.set(service.connections_max);
        }
        let (done, all) = mpsc::channel::<Done>();
        for (worker, switch) in self.workers.iter().zip(switches) {
            worker.tell(Command::Switch(Box::new(switch), done.clone()));
        }
        drop(done);
        // It fails when the last worker has let go of the other end.
        let Err(_) = all.recv();
        for (pool, _) in &pools {
            pool.settle();
        }
        for pool in &pools_gone {
            pool.leave();
        }
        debug_assert!(
            pools
                .iter()
                .all(|(pool, _)| next.snapshot.pools.contains_key(pool.name())),
            "what has changed is in force"
        );
        let pools = pools.into_iter().map(|(pool, _)| pool).collect();
        self.tell_health(|done| HealthCommand::TakeOver(pools, done));
    }

    fn tell_health(&self, command: impl FnOnce(mpsc::Sender<Done>) -> HealthCommand) {
        if let Some(health) = &self.health {
            let (done, answer) = mpsc::channel();
            health.tell(command(done));
            let Err(_) = answer.recv();
        }
    }

    /// Where each enabled virtual service really listens: the port is the one that was bound when
    /// the configuration left it to the system.
    pub fn addresses(&self) -> BTreeMap<Name, SocketAddr> {
        self.current.load().addresses.clone()
    }

    /// Stops accepting, closes idle connections, and lets requests, tunnels and TCP connections in
    /// progress finish until the deadline. Blocks until that is done; metrics can be read meanwhile.
    /// Sockets are only let go: whoever else holds them takes what waits in them.
    pub fn drain(&self, deadline: Duration) -> Drained {
        let (done, answers) = mpsc::channel();
        {
            let _one_at_a_time = locked(&self.changing);
            self.draining.store(true, Ordering::Release);
            for worker in &self.workers {
                worker.tell(Command::Drain(deadline, done.clone()));
            }
            locked(&self.listening).clear();
        }
        drop(done);
        let until = Instant::now() + deadline + WORKER_GRACE;
        let mut connections_cut = 0;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left) {
                Ok(cut) => connections_cut += cut,
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
            }
        }
        Drained { connections_cut }
    }

    fn stop(&mut self) {
        if let Some(health) = self.health.take() {
            health.stop();
        }
        for worker in self.workers.drain(..) {
            worker.stop();
        }
        if let Some(freeing) = self.freeing.take() {
            freeing.stop();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
