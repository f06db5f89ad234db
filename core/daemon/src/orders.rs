//! Who tells a balancer what to do: signals, or the supervisor that has started it.

use std::io;
use std::sync::Arc;

use lb_supervisor::{Command, Link, LinkError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What a balancer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop accepting, let what is in progress finish, and end. The second time: end at once.
    Drain,
    /// End at once.
    End,
    /// Open the access log again, after rotation.
    ReopenLog,
    /// Take the document from its file again.
    Reload,
    /// Leave the state to a successor, and serve on until told to drain.
    HandOver,
    /// There is no successor, for this reason.
    Resume(String),
    /// The supervisor is gone.
    Orphaned,
}

/// The supervisor that has started this process.
#[derive(Debug)]
pub struct Supervised {
    pub(crate) link: Arc<Link>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

impl Supervised {
    /// Takes the link to the supervisor from the standard input.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> Result<Self, LinkError> {
        let (link, commands) = Link::take()?;
        let link = Arc::new(link);
        // It was started through a descriptor, whose number the system took for its name.
        if let Err(error) = std::fs::write("/proc/self/comm", "lbctl") {
            tracing::debug!(%error, "the process keeps a name that is a number");
        }
        Ok(Self { link, commands })
    }
}

/// Where orders come from. Signals are for this process from here on.
#[derive(Debug)]
pub(crate) struct Orders {
    signals: Signals,
    commands: Option<mpsc::Receiver<Command>>,
}

#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
    reload: Signal,
    /// Without a supervisor nobody can replace this process; without this it would end it.
    _upgrade: Signal,
}

impl Orders {
    pub(crate) fn new(
        runtime: &Runtime,
        commands: Option<mpsc::Receiver<Command>>,
    ) -> io::Result<Self> {
        let _context = runtime.enter();
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reopen: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
            _upgrade: signal(SignalKind::user_defined2())?,
        };
        Ok(Self { signals, commands })
    }

    /// Waits for the next order. A worker does not listen to signals: those of a terminal go to the
    /// supervisor too, which decides.
    pub(crate) async fn next(&mut self) -> Order {
        let Some(commands) = &mut self.commands else {
            return self.signals.next().await;
        };
        match commands.recv().await {
            Some(Command::HandOver) => Order::HandOver,
            Some(Command::Resume { reason }) => Order::Resume(reason),
            Some(Command::Drain) => Order::Drain,
            Some(Command::Stop) => Order::End,
            Some(Command::Reload) => Order::Reload,
            Some(Command::ReopenLogs) => Order::ReopenLog,
            Some(Command::Orphaned) => Order::Orphaned,
            // Told once; nothing more comes.
            None => std::future::pending().await,
        }
    }
}

impl Signals {
    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Drain,
            _ = self.terminate.recv() => Order::Drain,
            _ = self.reopen.recv() => Order::ReopenLog,
            _ = self.reload.recv() => Order::Reload,
        }
    }
}
