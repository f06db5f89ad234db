//! A worker as the supervisor sees it: a process and the link to it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::message::{FromWorker, Place, ToWorker, pair, receive, send};

/// Names a worker among all that this supervisor has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerId(u32);

impl WorkerId {
    /// The first of all.
    pub(crate) const FIRST: Self = Self(0);

    /// The one after this.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What happens to a worker.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Said(FromWorker),
    /// Nothing more will be heard of it.
    LinkClosed,
    Ended(io::Result<ExitStatus>),
}

/// What is run as a worker.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    args: Vec<OsString>,
    /// A further argument of the first worker, and of every later one.
    further: [Option<OsString>; 2],
    /// What was on disk when it was last read: a crashed worker comes back as what it was, also
    /// while a new version is already in place.
    image: Option<File>,
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) phase: Phase,
    /// It has used up its time and is being killed.
    pub(crate) overdue: bool,
    pub(crate) started: Instant,
    /// The places whose sockets it uses.
    pub(crate) wanted: BTreeSet<Place>,
    /// The system's number of the process.
    pub(crate) process: u32,
    link: Arc<UnixDatagram>,
    kill: mpsc::Sender<()>,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not served yet.
    Starting,
    /// It serves.
    Serving,
    /// It serves, and is about to leave the rest to a successor.
    HandingOver,
    /// It finishes what is in progress.
    Draining,
}

impl Program {
    pub(crate) fn new(path: PathBuf, args: Vec<OsString>, further: [Option<OsString>; 2]) -> Self {
        Self {
            path,
            args,
            further,
            image: None,
        }
    }

    /// Takes what is on disk now for the workers to come.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.image = Some(File::open(&self.path)?);
        Ok(())
    }

    fn command(&self, id: WorkerId) -> Command {
        let image = self.image.as_ref().map(|image| {
            // Resolved in the child, where the descriptor is still open when it is executed.
            format!("/proc/self/fd/{}", image.as_raw_fd())
        });
        let executed = image.map_or_else(|| self.path.clone(), PathBuf::from);
        let mut command = std::process::Command::new(executed);
        let [first, later] = &self.further;
        let further = if id == WorkerId::FIRST { first } else { later };
        command.arg0(&self.path).args(&self.args).args(further);
        command.into()
    }
}

impl Worker {
    /// Starts a worker. What happens to it goes to `events`.
    pub(crate) fn start(
        id: WorkerId,
        program: &Program,
        events: &mpsc::Sender<(WorkerId, WorkerEvent)>,
    ) -> io::Result<Self> {
        let (ours, theirs) = pair()?;
        // Only the name says datagram: the socket itself is one of packets, and tells the end.
        let ours = std::os::unix::net::UnixDatagram::from(ours);
        ours.set_nonblocking(true)?;
        let mut command = program.command(id);
        let child = command.stdin(Stdio::from(theirs)).spawn()?;
        let process = child.id().unwrap_or_default();
        let link = Arc::new(UnixDatagram::from_std(ours)?);
        let (kill, killed) = mpsc::channel(1);
        tokio::spawn(listen(id, Arc::clone(&link), events.clone()));
        tokio::spawn(watch(id, child, killed, events.clone()));
        Ok(Self {
            phase: Phase::Starting,
            overdue: false,
            started: Instant::now(),
            wanted: BTreeSet::new(),
            process,
            link,
            kill,
        })
    }

    /// Tells it something. A worker that does not read its few messages is beyond being told; its
    /// deadlines see to it.
    pub(crate) fn tell(&self, message: &ToWorker) {
        self.tell_with(message, &[]);
    }

    /// Tells it something with descriptors.
    pub(crate) fn tell_with(&self, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) {
        if let Err(error) = send(&*self.link, message, descriptors) {
            tracing::warn!(process = self.process, %error, "the process that serves cannot be told");
        }
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        if self.kill.try_send(()).is_err() {
            tracing::debug!(
                process = self.process,
                "it has ended, or is being killed already"
            );
        }
    }
}

/// Hears what a worker says, until it says no more.
async fn listen(
    id: WorkerId,
    link: Arc<UnixDatagram>,
    events: mpsc::Sender<(WorkerId, WorkerEvent)>,
) {
    loop {
        let received = link.async_io(Interest::READABLE, || receive(&*link)).await;
        let event = match received {
            Ok(Some((message, _))) => WorkerEvent::Said(message),
            Ok(None) => WorkerEvent::LinkClosed,
            Err(error) => {
                tracing::error!(%error, "the process that serves says what cannot be understood");
                WorkerEvent::LinkClosed
            }
        };
        let last = matches!(event, WorkerEvent::LinkClosed);
        if events.send((id, event)).await.is_err() || last {
            return;
        }
    }
}

/// Waits for the end of a worker, and hastens it when told to.
async fn watch(
    id: WorkerId,
    mut child: Child,
    mut killed: mpsc::Receiver<()>,
    events: mpsc::Sender<(WorkerId, WorkerEvent)>,
) {
    let mut told = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            order = killed.recv(), if !told => {
                told = true;
                if order.is_some() && let Err(error) = child.start_kill() {
                    tracing::error!(%error, "a process cannot be killed");
                }
            }
        }
    };
    // Nobody listens any more when the supervisor ends.
    drop(events.send((id, WorkerEvent::Ended(status))).await);
}
