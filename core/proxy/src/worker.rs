//! One core's share of the work: a thread with a runtime of its own, and what its connections share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::task::Poll;
use std::time::Duration;

use lb_model::config::AccessLogFormat;
use lb_model::value::Name;
use rustc_hash::FxBuildHasher;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::buffer::BufferPool;
use crate::challenge::Challenges;
use crate::disposal::Disposal;
use crate::http2::Channel;
use crate::limit::Limit;
use crate::listener::{Listener, SocketKind};
use crate::protocol::http::{Scratch, StreamTasks};
use crate::snapshot::LiveService;
use crate::stream::Attendance;
use crate::telemetry::access_log::{AccessRecord, AccessSink, LogClock};
use crate::telemetry::{Histogram, PerWorker};
use crate::upstream::Upstream;

mod switch;

pub(crate) use switch::{Done, LogSwitch, PoolSwitch, ServiceSwitch, SocketSwitch, Switch};

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    /// How many workers there are.
    pub(crate) count: usize,
    pub(crate) buffers: BufferPool,
    /// Client connections of the whole balancer.
    pub(crate) connections: Arc<Limit>,
    access_log: RefCell<Option<Rc<AccessLog>>>,
    /// The configuration in force, as far as it is this worker's.
    present: RefCell<Present>,
    /// What is in force no more, for as long as it has connections.
    past: RefCell<Vec<Weak<LiveService>>>,
    /// Connections that have held a private server connection.
    with_private: RefCell<Vec<Weak<Attendance>>>,
    disposal: Disposal,
    pauses: Arc<PerWorker<Histogram>>,
    /// Answers for authorities that ask before they issue certificates.
    pub(crate) challenges: Arc<Challenges>,
    #[expect(
        clippy::vec_box,
        reason = "the task of a connection holds the box, not the memory"
    )]
    scratch: RefCell<Vec<Box<Scratch>>>,
    /// Serve requests of HTTP/2.
    pub(crate) stream_tasks: Rc<StreamTasks<Channel>>,
    draining: Cell<bool>,
    /// Whether another process accepts in our place while we drain.
    succeeded: Cell<bool>,
    next_id: Cell<u64>,
}

/// What a worker uses for what begins now.
#[derive(Default)]
struct Present {
    pools: HashMap<Name, Rc<Upstream>, FxBuildHasher>,
    services: HashMap<Name, Rc<LiveService>, FxBuildHasher>,
    /// By the address of what was bound, which is in use for as long as it stands here.
    listeners: HashMap<usize, Accepting, FxBuildHasher>,
}

/// A listener and the task that accepts on it.
struct Accepting {
    listener: Rc<Listener>,
    task: AbortHandle,
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
    /// Go over to another configuration. The answer is the end of the sender, when nothing begins
    /// under the old one any more.
    Switch(Box<Switch>, blocking::Sender<Done>),
    /// Stop accepting, finish what is in progress until the deadline, then end. The answer is how
    /// many connections were cut.
    Drain(Duration, blocking::Sender<usize>),
}

/// What the workers of a proxy have in common.
#[derive(Clone)]
pub(crate) struct Common {
    /// How many workers there are.
    pub(crate) count: usize,
    /// Client connections of the whole balancer.
    pub(crate) connections: Arc<Limit>,
    pub(crate) disposal: Disposal,
    /// How long a worker did nothing else while it went over to another configuration.
    pub(crate) pauses: Arc<PerWorker<Histogram>>,
    pub(crate) challenges: Arc<Challenges>,
}

/// How many sets of scratch memory a worker keeps for the next requests.
const SCRATCH_MAX: usize = 1024;

impl Worker {
    pub(crate) fn new(index: usize, common: Common) -> Self {
        let Common {
            count,
            connections,
            disposal,
            pauses,
            challenges,
        } = common;
        Self {
            index,
            count,
            buffers: BufferPool::default(),
            connections,
            access_log: RefCell::default(),
            present: RefCell::default(),
            past: RefCell::default(),
            with_private: RefCell::default(),
            disposal,
            pauses,
            challenges,
            scratch: RefCell::default(),
            stream_tasks: Rc::default(),
            draining: Cell::new(false),
            succeeded: Cell::new(false),
            next_id: Cell::new(0),
        }
    }

    /// Serves until told to end.
    pub(crate) async fn run(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        let sweeper = tokio::task::spawn_local(Rc::clone(&self).sweep());
        let (deadline, done) = loop {
            match commands.recv().await {
                Some(Command::Switch(switch, done)) => self.switch(*switch, done).await,
                Some(Command::Drain(deadline, done)) => break (deadline, done),
                None => return,
            }
        };
        self.stop_accepting();
        let cut = tokio::select! {
            cut = self.drain(deadline) => cut,
            // Nothing begins any more, so there is nothing to go over to another configuration.
            () = ignore(&mut commands) => 0,
        };
        self.say_goodbye().await;
        sweeper.abort();
        if done.send(cut).is_err() {
            tracing::debug!("nobody waits for the end of the drain");
        }
    }

    /// Accepts nothing any more. Sockets for datagrams stay: connections come through them.
    fn stop_accepting(&self) {
        self.draining.set(true);
        let listeners = &mut self.present.borrow_mut().listeners;
        listeners.retain(|_, accepting| match accepting.listener.kind() {
            SocketKind::Stream => {
                accepting.task.abort();
                false
            }
            SocketKind::Datagram => {
                let succeeded = accepting.listener.leave();
                self.succeeded.set(self.succeeded.get() || succeeded);
                true
            }
        });
    }

    /// Whether connections should end with their present exchange.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether another process speaks HTTP/3 in the place of this one.
    pub(crate) fn is_succeeded(&self) -> bool {
        self.succeeded.get()
    }

    /// Where finished exchanges are written, if anywhere.
    pub(crate) fn access_log(&self) -> Option<Rc<AccessLog>> {
        self.access_log.borrow().clone()
    }

    /// Runs a connection as a task of this worker. What it is given is for telling when it is idle
    /// between requests.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        live: &Rc<LiveService>,
        connection: impl FnOnce(Rc<Attendance>) -> F,
    ) {
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let attendance = Rc::new(Attendance::default());
        // Boxed: an async block keeps what it captures beside what it awaits, and so would hold the
        // state of the connection twice.
        let work = Box::pin(connection(Rc::clone(&attendance)));
        let registered = Registered {
            live: Rc::clone(live),
            id,
        };
        live.connections
            .borrow_mut()
            .insert(id, Rc::clone(&attendance));
        tokio::task::spawn_local(async move {
            let _registered = registered;
            poll_fn(|cx| {
                attendance.begin(cx.waker());
                Poll::Ready(())
            })
            .await;
            drop(attendance);
            work.await;
        });
    }

    /// Notes that a connection holds a private server connection, which may have to be closed while
    /// the connection is idle.
    pub(crate) fn note_private(&self, attendance: &Rc<Attendance>) {
        if attendance.holds_private() {
            return;
        }
        attendance.set_holds_private();
        let mut list = self.with_private.borrow_mut();
        if list.len() == list.capacity() {
            list.retain(|connection| connection.strong_count() > 0);
        }
        list.push(Rc::downgrade(attendance));
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
            for pool in self.present.borrow().pools.values() {
                pool.sweep(now);
            }
        }
    }

    async fn drain(&self, timeout: Duration) -> usize {
        self.draining.set(true);
        let deadline = Instant::now() + timeout;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            let mut left = 0;
            for live in self.services() {
                let connections = live.connections.borrow();
                connections
                    .values()
                    .for_each(|connection| connection.nudge());
                left += connections.len();
            }
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
        }
    }

    /// Tells clients of QUIC that connections that were cut are no more.
    async fn say_goodbye(&self) {
        let listeners: Vec<_> = {
            let present = self.present.borrow();
            let all = present.listeners.values();
            all.map(|accepting| Rc::clone(&accepting.listener))
                .collect()
        };
        for listener in listeners {
            listener.hang_up().await;
        }
    }

    /// Every virtual service that has connections, those that are in no configuration any more
    /// included.
    fn services(&self) -> Vec<Rc<LiveService>> {
        let present = self.present.borrow();
        let past = self.past.borrow();
        let past = past.iter().filter_map(Weak::upgrade);
        present.services.values().cloned().chain(past).collect()
    }
}

/// Lets commands pass that mean nothing to a worker that drains; their answers are that it is gone.
async fn ignore(commands: &mut mpsc::Receiver<Command>) {
    while commands.recv().await.is_some() {}
    std::future::pending::<()>().await;
}

/// Takes a connection off the list, however its task ends.
struct Registered {
    live: Rc<LiveService>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.live.end(self.id);
    }
}
