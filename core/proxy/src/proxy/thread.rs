//! The threads of a proxy.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

use crate::disposal::Disposed;
use crate::health::Checks;
use crate::pool::{Pool, ServerId};
use crate::worker::{Command, Common, Done, Worker};

/// One worker.
pub(super) struct WorkerThread {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

/// Who probes servers.
pub(super) struct HealthThread {
    commands: mpsc::Sender<HealthCommand>,
    thread: JoinHandle<()>,
}

/// Who frees what workers no longer need.
pub(super) struct FreeingThread(JoinHandle<()>);

/// What the health thread is told. The answer is the end of the sender, when it has done so.
pub(super) enum HealthCommand {
    /// These are probed no more.
    Stop(Vec<ServerId>, blocking::Sender<Done>),
    /// These configurations of pools are in force.
    TakeOver(Vec<Arc<Pool>>, blocking::Sender<Done>),
}

/// How many commands may wait: more than anybody gives before an answer.
const COMMANDS_MAX: usize = 8;

/// How much less urgent freeing is than traffic.
const FREEING_STEPS_BACK: i32 = 10;

impl WorkerThread {
    pub(super) fn start(index: usize, common: Common) -> io::Result<Self> {
        let runtime = runtime_parts()?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let Some(runtime) = runtime.build() else {
                    return;
                };
                let worker = Rc::new(Worker::new(index, common));
                runtime.block_on(worker.run(receiver));
            })?;
        Ok(Self { commands, thread })
    }

    /// Tells the worker something. One that takes no command has ended already: the command is
    /// dropped, and with it the question in it.
    pub(super) fn tell(&self, command: Command) {
        drop(self.commands.try_send(command));
    }

    pub(super) fn stop(self) {
        let Self { commands, thread } = self;
        drop(commands);
        drop(thread.join());
    }
}

impl HealthThread {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = runtime_parts()?;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let thread = std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                if let Some(runtime) = runtime.build() {
                    runtime.block_on(run(receiver));
                }
            })?;
        Ok(Self { commands, thread })
    }

    /// Tells the thread something; see [`WorkerThread::tell`].
    pub(super) fn tell(&self, command: HealthCommand) {
        drop(self.commands.try_send(command));
    }

    pub(super) fn stop(self) {
        let Self { commands, thread } = self;
        drop(commands);
        if thread.join().is_err() {
            tracing::error!("the health thread has ended by itself");
        }
    }
}

impl FreeingThread {
    pub(super) fn start(mut disposed: Disposed) -> io::Result<Self> {
        let thread = std::thread::Builder::new()
            .name("freeing".to_owned())
            .spawn(move || {
                // Nobody waits for it: workers have the processor first. Where that is forbidden, it is
                // a thread like the others.
                let _allowed = rustix::process::nice(FREEING_STEPS_BACK);
                while let Some(waste) = disposed.blocking_recv() {
                    drop(waste);
                }
            })?;
        Ok(Self(thread))
    }

    /// Waits until everything is freed, which is when the last worker has ended.
    pub(super) fn stop(self) {
        let Self(thread) = self;
        drop(thread.join());
    }
}

/// Probes, until nobody can tell it anything any more.
async fn run(mut commands: mpsc::Receiver<HealthCommand>) {
    let mut checks = Checks::new();
    while let Some(command) = commands.recv().await {
        // Who asks waits until the sender is gone.
        match command {
            HealthCommand::Stop(servers, _done) => checks.stop(&servers),
            HealthCommand::TakeOver(pools, _done) => checks.take_over(&pools),
        }
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
