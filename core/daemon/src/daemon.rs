//! A balancer from its start to its end.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lb_control::api::{Api, ApiStartError};
use lb_control::{
    Access, AccessError, Applied, Audit, AuditError, Caller, Change, Controller, Digest, Proposal,
    Refused, Starting,
};
use lb_model::ValidConfig;
use lb_model::api::Source;
use lb_model::value::Name;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::access_log::OpenLogError;
use crate::descriptors::DescriptorsError;
use crate::metrics;
use crate::running::{Live, Running};
use crate::state_dir::{StateDir, StateDirError};

/// How a balancer runs, besides its document.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that serve traffic.
    pub workers: NonZeroUsize,
    /// The directory for what it must remember.
    pub state_dir: PathBuf,
    /// How long open requests may take to finish after a signal to stop.
    pub drain_timeout: Duration,
}

/// A document that was read from its file, with the digest of the file.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The document.
    pub config: ValidConfig,
    /// The digest of the file.
    pub digest: Digest,
}

/// Reads the document from its file again.
pub type Reread = dyn Fn() -> Result<Taken, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Where the document is, besides the history.
#[derive(Default)]
pub struct DocumentFile {
    /// What is in the file, if that has to be taken: there is no history, or it has changed.
    pub taken: Option<Taken>,
    /// Reads it again, when somebody asks for that.
    pub reread: Option<Arc<Reread>>,
}

/// A running balancer.
pub struct Daemon {
    runtime: Runtime,
    signals: Signals,
    running: Arc<Running>,
    controller: Arc<Controller<Live>>,
    access: Arc<Access>,
    api: Api,
    reread: Option<Arc<Reread>>,
    drain_timeout: Duration,
    _state_dir: StateDir,
}

/// How a balancer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A second signal ended it before open requests had finished.
    AtOnce,
    /// Open requests finished, or the time for that was over.
    Drained {
        /// How many connections were cut when the time was over.
        connections_cut: usize,
    },
}

/// Why a balancer did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Too few open files.
    #[error(transparent)]
    Descriptors(#[from] DescriptorsError),
    /// The state directory.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The access log.
    #[error(transparent)]
    AccessLog(#[from] OpenLogError),
    /// The address for metrics.
    #[error("metrics cannot be served on {address}")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data plane.
    #[error(transparent)]
    Proxy(#[from] lb_proxy::StartError),
    /// The history.
    #[error(transparent)]
    History(#[from] lb_control::StartError),
    /// Who may come in.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The admin API.
    #[error(transparent)]
    Api(#[from] ApiStartError),
    /// Signals or the event loop of the control thread.
    #[error("the control thread cannot start")]
    Control(#[source] io::Error),
}

impl StartError {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Descriptors(error) => Some(error.help()),
            Self::StateDir(error) => Some(error.help()),
            Self::AccessLog(error) => Some(error.help()),
            Self::Metrics { address, source } => bind_help(*address, source.kind()),
            Self::Proxy(lb_proxy::StartError::Bind(error)) => {
                bind_help(error.address, error.source.kind())
            }
            Self::History(error) => error.help(),
            Self::Access(error) => Some(error.help()),
            Self::Audit(error) => Some(error.help()),
            Self::Api(error) => error.help(),
            Self::Proxy(lb_proxy::StartError::Thread(_)) | Self::Control(_) => None,
        }
    }
}

/// The cores that the process may use: those it is pinned to, within the quota of its control group.
pub fn workers_default() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Daemon {
    /// Starts serving a document. Signals are for this balancer from here on.
    pub fn start(config: &ValidConfig, options: &Options) -> Result<Self, StartError> {
        let json = serde_json::to_vec(config.config()).unwrap_or_default();
        let taken = Taken {
            config: config.clone(),
            digest: Digest::of(&json),
        };
        let file = DocumentFile {
            taken: Some(taken),
            reread: None,
        };
        Self::start_from(file, options)
    }

    /// Starts serving what was in force, or the document in the file if that has to be taken.
    pub fn start_from(file: DocumentFile, options: &Options) -> Result<Self, StartError> {
        let state_dir = StateDir::open(&options.state_dir)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Control)?;
        let signals = Signals::new(&runtime).map_err(StartError::Control)?;
        let audit = Arc::new(Audit::open(&options.state_dir, lb_control::now)?);
        let access = Access::open(&options.state_dir, Arc::clone(&audit), lb_control::now)?;
        let mut starting = Starting::open(lb_control::Options::new(&options.state_dir))?;
        let DocumentFile { taken, reread } = file;
        let digest = taken.as_ref().map(|taken| taken.digest);
        if let Some(Taken { config, .. }) = taken {
            starting.take(Arc::new(config), &machine_user(), None);
        }
        let running = Arc::new(Running::start(&starting.current().config, options)?);
        let controller = starting.run(Live(Arc::clone(&running)), audit)?;
        if let Some(digest) = digest {
            remember(&controller, digest);
        }
        let (controller, access) = (Arc::new(controller), Arc::new(access));
        let api = Api::start(
            &options.state_dir,
            Arc::clone(&controller),
            Arc::clone(&access),
        )?;
        Ok(Self {
            runtime,
            signals,
            running,
            controller,
            access,
            api,
            reread,
            drain_timeout: options.drain_timeout,
            _state_dir: state_dir,
        })
    }

    /// Where each virtual service really listens.
    pub fn addresses(&self) -> BTreeMap<Name, SocketAddr> {
        self.running.addresses()
    }

    /// Where metrics are served, when the document says so.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.running.metrics_address()
    }

    /// The socket of the admin API.
    pub fn admin_socket(&self) -> &Path {
        self.api.path()
    }

    /// The document in force, and the number of its revision.
    pub fn in_force(&self) -> (Arc<ValidConfig>, u64) {
        let current = self.controller.current();
        (Arc::clone(&current.config), current.number)
    }

    /// Serves until a signal says stop and open requests have finished.
    pub fn run(self) -> Result<Ended, StartError> {
        let Self {
            runtime,
            mut signals,
            running,
            controller,
            access,
            api,
            reread,
            drain_timeout,
            _state_dir: state_dir,
        } = self;
        let obey = Obey {
            running: Arc::clone(&running),
            controller,
            reread,
        };
        let ended = runtime.block_on(async {
            let places = running.metrics_places();
            tokio::spawn(metrics::follow(places, Arc::clone(&running)));
            signals.stop(&obey).await;
            running.stop_welcoming();
            tracing::info!("draining");
            let drained = drain(Arc::clone(&running), drain_timeout)?;
            Ok(tokio::select! {
                drained = drained => Ended::Drained {
                    // A drain that was lost has nothing left to cut.
                    connections_cut: drained.unwrap_or_default(),
                },
                () = signals.stop(&obey) => Ended::AtOnce,
            })
        });
        // It tells what drains until nothing does.
        drop(api);
        running.finish_log();
        if let Err(error) = access.store_last_use() {
            tracing::warn!(%error, "when tokens were used last is not remembered");
        }
        drop(state_dir);
        ended.map_err(StartError::Control)
    }
}

/// Drains on a thread of its own, because that blocks; the answer is how many connections were cut.
fn drain(running: Arc<Running>, timeout: Duration) -> io::Result<oneshot::Receiver<usize>> {
    let (done, drained) = oneshot::channel();
    std::thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || {
            // Nobody waits any more after a second signal.
            let _ = done.send(running.drain(timeout));
        })?;
    Ok(drained)
}

/// What signals are about.
struct Obey {
    running: Arc<Running>,
    controller: Arc<Controller<Live>>,
    reread: Option<Arc<Reread>>,
}

impl Obey {
    /// Takes the document from its file again, on a thread of its own: what is wrong with it is
    /// told, and changes nothing.
    fn reload(&self) {
        let Some(reread) = self.reread.clone() else {
            tracing::warn!("there is no file that the document could be read from again");
            return;
        };
        let controller = Arc::clone(&self.controller);
        tokio::task::spawn_blocking(move || match take_again(&controller, &*reread) {
            Ok(Applied {
                revision, is_new, ..
            }) => {
                let revision = revision.number;
                tracing::info!(revision, is_new, "the document was read again");
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "the document was read again, and is not taken");
            }
        });
    }
}

fn take_again(
    controller: &Controller<Live>,
    reread: &Reread,
) -> Result<Applied, Box<dyn Error + Send + Sync>> {
    let Taken { config, digest } = reread()?;
    let applied = controller.apply(Proposal {
        author: Caller::administrator(machine_user()),
        source: Source::File,
        comment: None,
        change: Change::Document(config.config().clone()),
        parent: None,
        expected: Vec::new(),
        confirm: None,
    });
    let applied = applied.map_err(|refused: Refused| Box::new(refused))?;
    remember(controller, digest);
    Ok(applied)
}

/// A file that is not remembered is taken again at the next start.
fn remember(controller: &Controller<Live>, digest: Digest) {
    if let Err(error) = controller.remember_file(digest) {
        tracing::error!(%error, "the file of the document cannot be remembered; the next start takes it again");
    }
}

/// Who started the balancer, as the history names them.
fn machine_user() -> String {
    match rustix::process::geteuid().as_raw() {
        0 => "root".to_owned(),
        user => format!("user {user}"),
    }
}

/// The signals that a balancer listens to.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
    reload: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reopen: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop; those that ask for something else are obeyed meanwhile.
    async fn stop(&mut self, obey: &Obey) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.reopen.recv() => obey.running.reopen_log(),
                _ = self.reload.recv() => obey.reload(),
            }
        }
    }
}

/// What to do when an address could not be bound.
fn bind_help(address: SocketAddr, kind: io::ErrorKind) -> Option<String> {
    let port = address.port();
    if kind == io::ErrorKind::AddrInUse {
        Some(format!(
            "see which program has it: ss -ltnp 'sport = :{port}'"
        ))
    } else if kind == io::ErrorKind::PermissionDenied {
        Some(format!(
            "port {port} needs a privilege: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd \
             unit, or setcap cap_net_bind_service=+ep on the program"
        ))
    } else if kind == io::ErrorKind::AddrNotAvailable {
        Some(format!(
            "{} is not an address of this machine; see: ip address",
            address.ip()
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use crate::running::listen;

    #[test]
    fn an_address_that_cannot_be_bound_comes_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address).unwrap_err();
        let port = address.port();
        let help = error.help().unwrap();
        assert_eq!(
            help,
            format!("see which program has it: ss -ltnp 'sport = :{port}'")
        );

        let error = listen("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(error.help().unwrap().contains("ip address"), "{error}");
    }
}
