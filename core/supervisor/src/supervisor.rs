//! What the supervisor decides: when a worker is started, replaced, stopped and given up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::message::{FromWorker, Place, ToWorker};
use crate::notify::notify;
use crate::sockets::{Bind, Sockets};
use crate::worker::{Phase, Program, Worker, WorkerEvent, WorkerId};

/// How a supervisor runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program of the worker: the file is read again for each upgrade.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// A further argument of the first worker.
    pub first: Option<OsString>,
    /// A further argument of every later one.
    pub later: Option<OsString>,
    /// How sockets are bound.
    pub bind: Bind,
    /// How long a worker may take until it serves.
    pub start_timeout: Duration,
    /// How long a worker lets open requests finish. It is killed a little later.
    pub drain_timeout: Duration,
}

/// How the worker, and the supervisor with it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code of the last worker that served; 1 when a signal ended it.
    pub code: u8,
}

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The first worker could not be started.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The event loop or signals.
    #[error("the supervisor cannot start")]
    System(#[source] io::Error),
}

/// How long a worker may take to finish what changes its state before a successor starts.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(10);

/// How long a worker may take beyond the time that it was given.
const GRACE: Duration = Duration::from_secs(5);

/// A worker that served for so long did not fail for what it began with.
const STABLE: Duration = Duration::from_secs(10);

/// The longest wait before a worker that keeps failing is started again.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Supervises workers until a signal says stop. SIGTERM and SIGINT drain and, the second time, stop at
/// once; SIGHUP takes the document again, SIGUSR1 opens log files again, SIGUSR2 upgrades.
///
/// # Errors
/// It cannot start at all. A first worker that fails is no error: its exit code is the answer.
pub fn supervise(options: Options) -> Result<Ended, SuperviseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SuperviseError::System)?;
    runtime.block_on(async {
        let signals = Signals::new().map_err(SuperviseError::System)?;
        let (sender, events) = mpsc::channel(64);
        let mut supervisor = Supervisor::new(options, sender);
        supervisor.start_first()?;
        Ok(supervisor.run(signals, events).await)
    })
}

struct Supervisor {
    program: Program,
    sockets: Sockets,
    start_timeout: Duration,
    drain_timeout: Duration,
    workers: BTreeMap<WorkerId, Worker>,
    /// When patience with a worker ends.
    deadlines: BTreeMap<WorkerId, Instant>,
    events: mpsc::Sender<(WorkerId, WorkerEvent)>,
    next_id: WorkerId,
    has_served: bool,
    stopping: bool,
    /// Somebody wants an upgrade while a worker is starting.
    upgrade_next: bool,
    restart_at: Option<Instant>,
    failures: u32,
    code: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Reload,
    ReopenLogs,
    Stop,
    Upgrade,
}

impl Supervisor {
    fn new(options: Options, events: mpsc::Sender<(WorkerId, WorkerEvent)>) -> Self {
        let Options {
            program,
            args,
            first,
            later,
            bind,
            start_timeout,
            drain_timeout,
        } = options;
        Self {
            program: Program::new(program, args, [first, later]),
            sockets: Sockets::new(bind),
            start_timeout,
            drain_timeout,
            workers: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            events,
            next_id: WorkerId::FIRST,
            has_served: false,
            stopping: false,
            upgrade_next: false,
            restart_at: None,
            failures: 0,
            code: 1,
        }
    }

    fn start_first(&mut self) -> Result<(), SuperviseError> {
        let failed = |program, source| SuperviseError::Start { program, source };
        self.program
            .refresh()
            .and_then(|()| self.start_worker())
            .map_err(|error| failed(self.program.path.clone(), error))
    }

    async fn run(
        mut self,
        mut signals: Signals,
        mut events: mpsc::Receiver<(WorkerId, WorkerEvent)>,
    ) -> Ended {
        while !(self.stopping && self.workers.is_empty()) {
            let next = self
                .deadlines
                .values()
                .copied()
                .chain(self.restart_at)
                .min();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((id, event)) = events.recv() => self.happened(id, event),
                order = signals.next() => self.ordered(order),
                () = due => self.due(Instant::now()),
            }
        }
        Ended { code: self.code }
    }

    fn start_worker(&mut self) -> io::Result<()> {
        let id = self.next_id;
        self.next_id = id.next();
        let worker = Worker::start(id, &self.program, &self.events)?;
        self.workers.insert(id, worker);
        self.deadlines
            .insert(id, Instant::now() + self.start_timeout);
        Ok(())
    }

    fn happened(&mut self, id: WorkerId, event: WorkerEvent) {
        match event {
            WorkerEvent::Said(message) => self.said(id, message),
            WorkerEvent::LinkClosed => {
                // Usually it has ended, and that is told next.
                self.deadlines
                    .entry(id)
                    .or_insert_with(|| Instant::now() + GRACE);
            }
            WorkerEvent::Ended(status) => {
                self.deadlines.remove(&id);
                if let Some(worker) = self.workers.remove(&id) {
                    self.ended(&worker, status);
                }
            }
        }
    }

    fn said(&mut self, id: WorkerId, message: FromWorker) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match message {
            FromWorker::Listen { place, count } => match self.sockets.lend(&place, count) {
                Ok(sockets) => {
                    worker.tell_with(&ToWorker::Sockets, &sockets);
                    worker.wanted.insert(place);
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or_default();
                    worker.tell(&ToWorker::Refused { errno });
                }
            },
            FromWorker::Release { place } => {
                worker.wanted.remove(&place);
                self.close_unwanted();
            }
            FromWorker::Ready => self.serves(id),
            FromWorker::Upgrade => self.upgrade(),
            FromWorker::HandedOver => {
                if worker.phase == Phase::HandingOver {
                    self.deadlines.remove(&id);
                    self.start_successor();
                }
            }
        }
    }

    /// A worker serves: those before it finish.
    fn serves(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.phase != Phase::Starting || self.stopping {
            return;
        }
        worker.phase = Phase::Serving;
        self.deadlines.remove(&id);
        self.has_served = true;
        // It says so itself.
        tracing::debug!(process = worker.process, "the process serves");
        self.drain(|other| other != id);
        self.close_unwanted();
        notify("READY=1");
        if std::mem::take(&mut self.upgrade_next) {
            self.upgrade();
        }
    }

    fn drain(&mut self, whom: impl Fn(WorkerId) -> bool) {
        let deadline = Instant::now() + self.drain_timeout + GRACE;
        for (id, worker) in &mut self.workers {
            if whom(*id) && worker.phase != Phase::Draining {
                worker.phase = Phase::Draining;
                worker.tell(&ToWorker::Drain);
                self.deadlines.insert(*id, deadline);
            }
        }
    }

    /// No connection may wait in a socket that nobody accepts from.
    fn close_unwanted(&mut self) {
        let workers = &self.workers;
        let wants = |worker: &&Worker| worker.phase != Phase::Draining;
        let wanted = |place: &Place| {
            let mut alive = workers.values().filter(wants);
            alive.any(|worker| worker.wanted.contains(place))
        };
        self.sockets.keep(wanted);
    }

    /// Replaces the worker, or will as soon as the one that is starting serves: what is on disk
    /// then may be newer than what that began with.
    fn upgrade(&mut self) {
        if self.stopping {
            return;
        }
        let starting = self.workers.values().any(|w| w.phase == Phase::Starting);
        let mut workers = self.workers.iter_mut();
        match workers.find(|(_, w)| w.phase == Phase::Serving) {
            Some((id, worker)) if !starting => {
                worker.phase = Phase::HandingOver;
                worker.tell(&ToWorker::HandOver);
                self.deadlines
                    .insert(*id, Instant::now() + HAND_OVER_WITHIN);
            }
            Some(_) | None => self.upgrade_next = true,
        }
    }

    fn start_successor(&mut self) {
        if let Err(error) = self.program.refresh().and_then(|()| self.start_worker()) {
            let program = self.program.path.display();
            tracing::error!(%program, %error, "the upgrade failed: the new program does not start");
            self.resume(&format!("`{program}` cannot be started: {error}"));
        }
    }

    /// The worker that was to be replaced goes on.
    fn resume(&mut self, reason: &str) {
        self.upgrade_next = false;
        for (id, worker) in &mut self.workers {
            if worker.phase == Phase::HandingOver {
                worker.phase = Phase::Serving;
                let reason = reason.to_owned();
                worker.tell(&ToWorker::Resume { reason });
                self.deadlines.remove(id);
            }
        }
    }

    fn ended(&mut self, worker: &Worker, status: io::Result<ExitStatus>) {
        let code = status.as_ref().ok().and_then(ExitStatus::code);
        let shown = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let process = worker.process;
        if !self.has_served || self.stopping {
            self.code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            self.stopping = true;
            return;
        }
        match worker.phase {
            Phase::Draining => {
                // It has said so itself.
                tracing::debug!(process, status = shown, "a former process has ended");
            }
            Phase::Starting if self.has_predecessor() => {
                tracing::error!(
                    process,
                    status = shown,
                    "the upgrade failed: the former process serves on"
                );
                let late = if worker.overdue {
                    "did not serve in time and "
                } else {
                    ""
                };
                self.resume(&format!(
                    "the new program {late}ended with {shown}; its log says why"
                ));
            }
            Phase::Serving | Phase::HandingOver | Phase::Starting => {
                tracing::error!(
                    process,
                    status = shown,
                    "the process that served ended unexpectedly; another starts"
                );
                let stable = worker.started.elapsed() >= STABLE;
                self.failures = if stable {
                    0
                } else {
                    self.failures.saturating_add(1)
                };
                if !self
                    .workers
                    .values()
                    .any(|worker| worker.phase == Phase::Starting)
                {
                    self.restart_at = Some(Instant::now() + restart_pause(self.failures));
                }
            }
        }
    }

    fn has_predecessor(&self) -> bool {
        self.workers
            .values()
            .any(|worker| worker.phase == Phase::HandingOver)
    }

    /// What has become due.
    fn due(&mut self, now: Instant) {
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            if let Err(error) = self.start_worker() {
                tracing::error!(%error, "the process that serves cannot be started");
                self.failures = self.failures.saturating_add(1);
                self.restart_at = Some(now + restart_pause(self.failures));
            }
        }
        let late = self.deadlines.extract_if(.., |_, at| *at <= now);
        for (id, _) in late.collect::<Vec<_>>() {
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            if worker.phase == Phase::HandingOver && !self.stopping {
                tracing::error!(
                    process = worker.process,
                    "no upgrade: the process does not hand over"
                );
                self.resume("what was changing the configuration did not finish in time");
            } else {
                tracing::warn!(
                    process = worker.process,
                    "a process is killed: its time is over"
                );
                worker.overdue = true;
                worker.kill();
            }
        }
    }

    fn tell_all(&self, message: &ToWorker) {
        for worker in self.workers.values() {
            worker.tell(message);
        }
    }

    fn ordered(&mut self, order: Order) {
        match order {
            Order::Reload => {
                // One that starts may have read the file before it changed.
                let ready = [Phase::Serving, Phase::Starting];
                let mut workers = self.workers.values();
                if let Some(worker) = workers.find(|w| ready.contains(&w.phase)) {
                    worker.tell(&ToWorker::Reload);
                }
            }
            Order::ReopenLogs => self.tell_all(&ToWorker::ReopenLogs),
            Order::Upgrade => self.upgrade(),
            Order::Stop if self.stopping => {
                self.tell_all(&ToWorker::Stop);
                let deadline = Instant::now() + GRACE;
                self.deadlines = self.workers.keys().map(|id| (*id, deadline)).collect();
            }
            Order::Stop => {
                notify("STOPPING=1");
                self.stopping = true;
                self.restart_at = None;
                self.drain(|_| true);
                self.close_unwanted();
            }
        }
    }
}

/// A worker that crashed once is back at once; one that keeps failing must not take the machine.
fn restart_pause(failures: u32) -> Duration {
    let pause = Duration::from_millis(50).saturating_mul(1 << failures.min(10));
    if failures <= 1 {
        Duration::ZERO
    } else {
        pause.min(RESTART_PAUSE_MAX)
    }
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.terminate.recv() => Order::Stop,
            _ = self.user1.recv() => Order::ReopenLogs,
            _ = self.user2.recv() => Order::Upgrade,
        }
    }
}
