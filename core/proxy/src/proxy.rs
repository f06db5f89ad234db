//! The running data plane: its threads, and the few things that can be asked of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_model::ValidConfig;
use lb_model::value::Name;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::health;
use crate::listener::{self, BindError, Listener};
use crate::pool::{Condition, Pool};
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::AccessSink;
use crate::telemetry::metrics::{self, MetricsView, PoolView, ServerView, ServiceView, StateView};
use crate::worker::{AccessLog, Command, Worker};

/// How a proxy runs, besides its configuration.
pub struct Options {
    /// How many cores serve.
    pub workers: NonZeroUsize,
    /// The most client connections at a time over all virtual services.
    pub connections_max: usize,
    /// Where lines of the access log go; none writes no log.
    pub access_log: Option<Arc<dyn AccessSink>>,
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
pub struct Proxy {
    addresses: BTreeMap<Name, SocketAddr>,
    snapshot: Arc<Snapshot>,
    dropped_lines: Arc<AtomicU64>,
    workers: Vec<WorkerThread>,
    health: Option<HealthThread>,
}

/// What a drain has left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were cut at the deadline.
    pub connections_cut: usize,
}

struct WorkerThread {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

struct HealthThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// How long a drain waits for a worker beyond the deadline it was given.
const WORKER_GRACE: Duration = Duration::from_secs(1);

impl Proxy {
    /// Binds every virtual service and starts serving.
    pub fn start(config: &ValidConfig, options: Options) -> Result<Self, StartError> {
        let Options {
            workers: count,
            connections_max,
            access_log,
        } = options;
        let snapshot = Arc::new(Snapshot::build(config, count.get()));
        let mut addresses = BTreeMap::new();
        let mut sockets: Vec<Vec<_>> = (0..count.get()).map(|_| Vec::new()).collect();
        for (name, service) in &snapshot.services {
            let bound = listener::bind(name, service.address, count.get())?;
            for (socket, of_worker) in bound.into_iter().zip(&mut sockets) {
                let local = socket.local_addr().unwrap_or(service.address);
                addresses.insert(name.clone(), local);
                of_worker.push((name.clone(), socket, local));
            }
        }
        let dropped_lines = Arc::new(AtomicU64::new(0));
        let format = config
            .config()
            .telemetry
            .access_log
            .as_ref()
            .map(|log| log.format);
        let access_log = access_log.zip(format);
        let limit = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        let mut workers = Vec::new();
        for (index, sockets) in sockets.into_iter().enumerate() {
            let log = access_log
                .clone()
                .map(|(sink, format)| AccessLog::new(sink, format, Arc::clone(&dropped_lines)));
            let thread = WorkerThread::start(
                index,
                Arc::clone(&snapshot),
                sockets,
                log,
                Arc::clone(&limit),
            );
            workers.push(thread.map_err(StartError::Thread)?);
        }
        let health = HealthThread::start(snapshot.pools.clone()).map_err(StartError::Thread)?;
        Ok(Self {
            addresses,
            snapshot,
            dropped_lines,
            workers,
            health: Some(health),
        })
    }

    /// Where each enabled virtual service really listens: the port is the one that was bound when
    /// the configuration left it to the system.
    pub fn addresses(&self) -> &BTreeMap<Name, SocketAddr> {
        &self.addresses
    }

    /// All metrics, as Prometheus text.
    pub fn metrics(&self) -> String {
        let now = Instant::now();
        let services = self
            .snapshot
            .services
            .iter()
            .map(|(name, service)| ServiceView {
                name,
                counters: &service.counters,
            })
            .collect();
        let pools = self
            .snapshot
            .pools
            .iter()
            .map(|pool| pool_view(pool, now))
            .collect();
        metrics::render(&MetricsView {
            workers: self.workers.len(),
            access_log_lines_dropped: self.dropped_lines.load(Ordering::Relaxed),
            services,
            pools,
        })
    }

    /// Stops accepting, closes idle connections, and lets requests, tunnels and TCP connections in
    /// progress finish until the deadline. Blocks until that is done; metrics can be read meanwhile.
    pub fn drain(&self, deadline: Duration) -> Drained {
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (done, answer) = oneshot::channel();
            // A worker that takes no command has ended already.
            if worker
                .commands
                .try_send(Command::Drain(deadline, done))
                .is_ok()
            {
                answers.push(answer);
            }
        }
        let until = Instant::now() + deadline + WORKER_GRACE;
        let mut connections_cut = 0;
        for mut answer in answers {
            while Instant::now() < until {
                match answer.try_recv() {
                    Ok(cut) => {
                        connections_cut += cut;
                        break;
                    }
                    Err(oneshot::error::TryRecvError::Closed) => break,
                    Err(oneshot::error::TryRecvError::Empty) => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            }
        }
        Drained { connections_cut }
    }

    fn stop(&mut self) {
        if let Some(HealthThread { stop, thread }) = self.health.take() {
            if stop.send(()).is_err() {
                tracing::error!("the health thread has ended by itself");
            }
            drop(thread.join());
        }
        for WorkerThread { commands, thread } in self.workers.drain(..) {
            drop(commands);
            drop(thread.join());
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

impl WorkerThread {
    fn start(
        index: usize,
        snapshot: Arc<Snapshot>,
        sockets: Vec<(Name, std::net::TcpListener, SocketAddr)>,
        log: Option<AccessLog>,
        limit: Arc<Semaphore>,
    ) -> io::Result<Self> {
        let runtime = runtime_parts()?;
        let (commands, receiver) = mpsc::channel(4);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let Some(runtime) = runtime.build() else {
                    return;
                };
                let local = snapshot.local(index);
                let listeners = sockets
                    .into_iter()
                    .filter_map(|(name, socket, address)| {
                        let service = Rc::clone(local.services.get(&name)?);
                        Some(Listener {
                            socket,
                            service,
                            local: address,
                        })
                    })
                    .collect();
                let worker = Rc::new(Worker::new(index, local, log, limit));
                runtime.block_on(worker.run(listeners, receiver));
            })?;
        Ok(Self { commands, thread })
    }
}

impl HealthThread {
    fn start(pools: Vec<Arc<Pool>>) -> io::Result<Self> {
        let runtime = runtime_parts()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                let Some(runtime) = runtime.build() else {
                    return;
                };
                runtime.block_on(async {
                    let _checks: Vec<_> = pools.iter().map(health::spawn).collect();
                    // An error means that the proxy is gone: the same as being told.
                    drop(stopped.await);
                });
            })?;
        Ok(Self { stop, thread })
    }
}

/// A runtime cannot move to another thread; that one can be made is found out before there is one.
struct RuntimeParts;

fn runtime_parts() -> io::Result<RuntimeParts> {
    build_runtime().map(|_| RuntimeParts)
}

impl RuntimeParts {
    fn build(self) -> Option<LocalRuntime> {
        let Self = self;
        build_runtime()
            .inspect_err(|error| tracing::error!(%error, "an event loop could not be made"))
            .ok()
    }
}

fn build_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

fn pool_view(pool: &Pool, now: Instant) -> PoolView<'_> {
    let servers = pool
        .servers()
        .iter()
        .map(|server| ServerView {
            name: server.name(),
            state: match server.status(now).condition {
                Condition::Disabled => StateView::Disabled,
                Condition::Down => StateView::Down,
                Condition::Draining => StateView::Draining,
                Condition::Ejected => StateView::Ejected,
                Condition::Unchecked => StateView::Unchecked,
                Condition::Up => StateView::Up,
            },
            weight: server.weight(),
            counters: server.counters(),
        })
        .collect();
    PoolView {
        name: pool.name(),
        queue_length: pool.queue_length(),
        persistence_entries: pool.persistence_entries(),
        servers,
    }
}
