//! A balancer from its start to its end.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lb_control::api::{ApiStartError, CertificateError};
use lb_control::certificate::NotLoaded;
use lb_control::{AccessError, AuditError, Digest};
use lb_model::ValidConfig;
use lb_model::value::Name;
use lb_proxy::OwnSockets;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::access_log::OpenLogError;
use crate::control::{Control, Opened};
use crate::descriptors::DescriptorsError;
use crate::hand_over;
use crate::metrics;
use crate::orders::{Orders, Supervised};
use crate::running::Running;
use crate::serving::Serving;
use crate::sockets::{LentSockets, Sockets};
use crate::state_dir::StateDirError;

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
    orders: Orders,
    running: Arc<Running>,
    sockets: Arc<Sockets>,
    control: Control,
    reread: Option<Arc<Reread>>,
    state_dir: PathBuf,
    drain_timeout: Duration,
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
    /// Another process serves in its place.
    Replaced {
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
    /// The address of the admin API.
    #[error("the admin API cannot be served on {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate of the admin API.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate or an authority that the document names.
    #[error(transparent)]
    Material(#[from] NotLoaded),
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
            Self::Metrics { address, source } | Self::Admin { address, source } => {
                bind_help(*address, source.kind())
            }
            Self::Certificate(error) => Some(error.help()),
            Self::Material(error) => Some(error.help()),
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
        Self::start_from(file, options, None)
    }

    /// Starts serving what was in force, or the document in the file if that has to be taken. Under
    /// a supervisor, sockets come from it and orders too, and not from signals.
    pub fn start_from(
        file: DocumentFile,
        options: &Options,
        supervised: Option<Supervised>,
    ) -> Result<Self, StartError> {
        let (link, commands) = supervised.map(|s| (s.link, s.commands)).unzip();
        let mut opened = Opened::open(options.state_dir.clone(), link.is_some())?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Control)?;
        let orders = Orders::new(&runtime, commands).map_err(StartError::Control)?;
        let sockets = Arc::new(match link {
            Some(link) => Sockets::Lent(LentSockets::new(link, options.state_dir.join("quic"))),
            None => Sockets::Own(OwnSockets::default()),
        });
        let DocumentFile { taken, reread } = file;
        if let Some(taken) = taken {
            opened.take(taken);
        }
        let config = &opened.current().config;
        let memory = hand_over::take(&options.state_dir);
        let running = Running::start(config, options, Arc::clone(&sockets), memory)?;
        let running = Arc::new(running);
        let control = opened.run(&running, &sockets)?;
        if let Some(link) = sockets.link() {
            link.ready();
        }
        Ok(Self {
            runtime,
            orders,
            running,
            sockets,
            control,
            reread,
            state_dir: options.state_dir.clone(),
            drain_timeout: options.drain_timeout,
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
        self.control.api().path()
    }

    /// The document in force, and the number of its revision.
    pub fn in_force(&self) -> (Arc<ValidConfig>, u64) {
        let current = self.control.controller().current();
        (Arc::clone(&current.config), current.number)
    }

    /// Serves until it is told to stop and open requests have finished.
    pub fn run(self) -> Result<Ended, StartError> {
        let Self {
            runtime,
            mut orders,
            running,
            sockets,
            control,
            reread,
            state_dir,
            drain_timeout,
        } = self;
        let mut serving = Serving {
            running: Arc::clone(&running),
            sockets,
            state_dir,
            control: Some(control),
            reread,
            reloading: None,
        };
        let ended = runtime.block_on(async {
            let places = running.metrics_places();
            tokio::spawn(metrics::follow(places, Arc::clone(&running)));
            if !serving.until_told_to_drain(&mut orders).await {
                return Ok(Ended::AtOnce);
            }
            let is_replaced = serving.control.is_none();
            if is_replaced {
                running.leave_metrics();
            } else {
                running.stop_welcoming();
            }
            tracing::info!("draining");
            let drained = drain(Arc::clone(&running), drain_timeout)?;
            Ok(tokio::select! {
                drained = drained => {
                    // A drain that was lost has nothing left to cut.
                    let connections_cut = drained.unwrap_or_default();
                    if is_replaced {
                        Ended::Replaced { connections_cut }
                    } else {
                        Ended::Drained { connections_cut }
                    }
                }
                () = serving.until_told_to_end(&mut orders) => Ended::AtOnce,
            })
        });
        // It tells what drains until nothing does.
        if let Some(control) = serving.control.take()
            && let Err(error) = control.close()
        {
            tracing::warn!(%error, "stopped all the same");
        }
        running.finish_log();
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
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;

    use lb_proxy::OwnSockets;

    use super::StartError;
    use crate::sockets::{Purpose, Sockets};

    fn listen(address: SocketAddr) -> StartError {
        let sockets = Arc::new(Sockets::Own(OwnSockets::default()));
        let source = sockets.listen_for(Purpose::Metrics, address).err().unwrap();
        StartError::Metrics { address, source }
    }

    #[test]
    fn an_address_that_cannot_be_bound_comes_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address);
        let port = address.port();
        let help = error.help().unwrap();
        assert_eq!(
            help,
            format!("see which program has it: ss -ltnp 'sport = :{port}'")
        );

        let error = listen("192.0.2.1:0".parse().unwrap());
        assert!(error.help().unwrap().contains("ip address"), "{error}");
    }
}
