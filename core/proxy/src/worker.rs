//! One core's share of the work: a thread with a runtime of its own, and what its connections share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lb_model::config::AccessLogFormat;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::buffer::BufferPool;
use crate::listener::Listener;
use crate::protocol::http::Scratch;
use crate::snapshot::LocalSnapshot;
use crate::telemetry::access_log::{AccessRecord, AccessSink, LogClock};

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) buffers: BufferPool,
    pub(crate) snapshot: LocalSnapshot,
    pub(crate) access_log: Option<AccessLog>,
    /// One permit for each client connection of the whole balancer.
    pub(crate) connections_limit: Arc<Semaphore>,
    #[expect(
        clippy::vec_box,
        reason = "the task of a connection holds the box, not the memory"
    )]
    scratch: RefCell<Vec<Box<Scratch>>>,
    draining: Cell<bool>,
    connections: RefCell<HashMap<u64, Entry, FxBuildHasher>>,
    next_id: Cell<u64>,
}

/// The access log as one worker writes it.
pub(crate) struct AccessLog {
    sink: Arc<dyn AccessSink>,
    format: AccessLogFormat,
    clock: RefCell<LogClock>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    pub(crate) fn new(
        sink: Arc<dyn AccessSink>,
        format: AccessLogFormat,
        dropped: Arc<AtomicU64>,
    ) -> Self {
        Self {
            sink,
            format,
            clock: RefCell::default(),
            dropped,
        }
    }

    /// Writes one line, or counts it as dropped.
    pub(crate) fn write(&self, record: &AccessRecord<'_>) {
        let line = record.line(self.format, &mut self.clock.borrow_mut());
        if !self.sink.write(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a worker is told.
pub(crate) enum Command {
    /// Stop accepting, finish what is in progress until the deadline, then end. The answer is how
    /// many connections were cut.
    Drain(Duration, oneshot::Sender<usize>),
}

struct Entry {
    abort: AbortHandle,
    idle: Rc<Cell<bool>>,
}

/// How many sets of scratch memory a worker keeps for the next requests.
const SCRATCH_MAX: usize = 1024;

impl Worker {
    pub(crate) fn new(
        index: usize,
        snapshot: LocalSnapshot,
        access_log: Option<AccessLog>,
        connections_limit: Arc<Semaphore>,
    ) -> Self {
        Self {
            index,
            buffers: BufferPool::default(),
            snapshot,
            access_log,
            connections_limit,
            scratch: RefCell::default(),
            draining: Cell::new(false),
            connections: RefCell::default(),
            next_id: Cell::new(0),
        }
    }

    /// Serves until told to end.
    pub(crate) async fn run(
        self: Rc<Self>,
        listeners: Vec<Listener>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| tokio::task::spawn_local(listener.accept(Rc::clone(&self))))
            .collect();
        let sweeper = tokio::task::spawn_local(Rc::clone(&self).sweep());
        let Some(Command::Drain(deadline, done)) = commands.recv().await else {
            return;
        };
        for task in &accepting {
            task.abort();
        }
        let cut = self.drain(deadline).await;
        sweeper.abort();
        if done.send(cut).is_err() {
            tracing::debug!("nobody waits for the end of the drain");
        }
    }

    /// Whether connections should end with their present exchange.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Runs a connection as a task of this worker. It tells through the flag when it is idle between
    /// requests, so that a drain need not wait for it.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        connection: impl FnOnce(Rc<Cell<bool>>) -> F,
    ) {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let idle = Rc::new(Cell::new(false));
        // Boxed: an async block keeps what it captures beside what it awaits, and so would hold the
        // state of the connection twice.
        let (worker, work) = (Rc::clone(self), Box::pin(connection(Rc::clone(&idle))));
        let task = tokio::task::spawn_local(async move {
            let _entry = Registered { worker, id };
            work.await;
        });
        self.connections.borrow_mut().insert(
            id,
            Entry {
                abort: task.abort_handle(),
                idle,
            },
        );
    }

    /// Scratch memory for one exchange.
    pub(crate) fn lend_scratch(&self) -> Box<Scratch> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes scratch memory back.
    pub(crate) fn reclaim_scratch(&self, mut scratch: Box<Scratch>) {
        let mut list = self.scratch.borrow_mut();
        if list.len() < SCRATCH_MAX {
            scratch.shrink();
            list.push(scratch);
        }
    }

    async fn sweep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            for pool in self.snapshot.pools.iter() {
                pool.idle.sweep(now);
            }
        }
    }

    async fn drain(&self, timeout: Duration) -> usize {
        self.draining.set(true);
        let deadline = Instant::now() + timeout;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            // A task that was aborted takes itself off the list when the runtime drops it.
            for entry in self
                .connections
                .borrow()
                .values()
                .filter(|entry| entry.idle.get())
            {
                entry.abort.abort();
            }
            let left = self.connections.borrow().len();
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
        }
    }
}

/// Takes a connection off the list, however its task ends.
struct Registered {
    worker: Rc<Worker>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().remove(&self.id);
    }
}
