//! A balancer from its start to its end.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_model::ValidConfig;
use lb_model::value::Name;
use lb_proxy::{AccessSink, Proxy};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::access_log::{LogWriter, OpenLogError};
use crate::descriptors::{self, DescriptorsError};
use crate::metrics::{self, Observed};
use crate::process;
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

/// A running balancer.
pub struct Daemon {
    runtime: Runtime,
    signals: Signals,
    observed: Arc<Running>,
    metrics: Option<(TcpListener, SocketAddr)>,
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
            Self::Proxy(lb_proxy::StartError::Thread(_)) | Self::Control(_) => None,
        }
    }
}

/// The cores that the process may use: those it is pinned to, within the quota of its control group.
pub fn workers_default() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Daemon {
    /// Starts serving. Signals are for this balancer from here on.
    pub fn start(config: &ValidConfig, options: &Options) -> Result<Self, StartError> {
        let document = config.config();
        let connections_max = descriptors::raise(document.limits.connections_max)?;
        let state_dir = StateDir::open(&options.state_dir)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Control)?;
        let signals = Signals::new(&runtime).map_err(StartError::Control)?;
        let metrics = document
            .telemetry
            .metrics_address
            .map(|address| listen(address.socket_addr()))
            .transpose()?;
        let access_log = document
            .telemetry
            .access_log
            .as_ref()
            .map(|log| LogWriter::start(&log.output).map(Arc::new))
            .transpose()?;
        let proxy = Proxy::start(
            config,
            lb_proxy::Options {
                workers: options.workers,
                connections_max,
                access_log: access_log.clone().map(|log| log as Arc<dyn AccessSink>),
            },
        )?;
        Ok(Self {
            runtime,
            signals,
            observed: Arc::new(Running {
                proxy,
                access_log,
                draining: AtomicBool::new(false),
            }),
            metrics,
            drain_timeout: options.drain_timeout,
            _state_dir: state_dir,
        })
    }

    /// Where each virtual service really listens.
    pub fn addresses(&self) -> &BTreeMap<Name, SocketAddr> {
        self.observed.proxy.addresses()
    }

    /// Where metrics are served, when the document says so.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Serves until a signal says stop and open requests have finished.
    pub fn run(self) -> Result<Ended, StartError> {
        let Self {
            runtime,
            mut signals,
            observed,
            metrics,
            drain_timeout,
            _state_dir: state_dir,
        } = self;
        let ended = runtime.block_on(async {
            if let Some((listener, _)) = metrics {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(metrics::serve(listener, Arc::clone(&observed)));
            }
            signals.stop(&observed).await;
            observed.draining.store(true, Ordering::Relaxed);
            tracing::info!("draining");
            let drained = drain(Arc::clone(&observed), drain_timeout)?;
            Ok(tokio::select! {
                drained = drained => Ended::Drained {
                    // A drain that was lost has nothing left to cut.
                    connections_cut: drained.unwrap_or_default(),
                },
                () = signals.stop(&observed) => Ended::AtOnce,
            })
        });
        if let Some(log) = &observed.access_log {
            log.finish();
        }
        drop(state_dir);
        ended.map_err(StartError::Control)
    }
}

/// Drains on a thread of its own, because that blocks; the answer is how many connections were cut.
fn drain(observed: Arc<Running>, timeout: Duration) -> io::Result<oneshot::Receiver<usize>> {
    let (done, drained) = oneshot::channel();
    std::thread::Builder::new()
        .name("drain".to_owned())
        .spawn(move || {
            let cut = observed.proxy.drain(timeout).connections_cut;
            // Nobody waits any more after a second signal.
            let _ = done.send(cut);
        })?;
    Ok(drained)
}

/// What metrics are read from while traffic goes on.
struct Running {
    proxy: Proxy,
    access_log: Option<Arc<LogWriter>>,
    draining: AtomicBool,
}

impl Observed for Running {
    fn metrics(&self) -> String {
        let mut page = self.proxy.metrics();
        if let Some(log) = &self.access_log {
            let name = "lb_access_log_failed_lines_total";
            let explanation = "Lines of the access log that could not be written.";
            process::sample(&mut page, name, "counter", explanation, log.failed_lines());
        }
        process::write(&mut page);
        page
    }

    fn is_serving(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

/// The signals that a balancer listens to.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reopen: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for a signal to stop; one to open the access log again is obeyed meanwhile.
    async fn stop(&mut self, observed: &Running) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.reopen.recv() => {
                    if let Some(log) = &observed.access_log {
                        log.reopen();
                    }
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(|source| StartError::Metrics { address, source })
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
    use super::*;

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
