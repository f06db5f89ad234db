//! What runs: the data plane with the access log and the metrics around it, which follow the
//! document together.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_control::api::{NoSupervisor, Observable, Place as AdminPlace, Remote, Socket};
use lb_control::certificate::{Keeper, Loaded, Vault};
use lb_control::{Engine, EngineError, ServerHealth};
use lb_model::ValidConfig;
use lb_model::api::{AdminStatus, ExplainRequest, UpgradeState};
use lb_model::config::{AccessLog, Config, Telemetry};
use lb_model::status::{Condition, Status};
use lb_model::value::Name;
use lb_proxy::{AccessSink, Challenges, Memory, Proxy};
use serde_json::Value;
use tokio::sync::watch;

use crate::access_log::LogWriter;
use crate::certificate::{self, Reminder, material};
use crate::daemon::StartError;
use crate::metrics::{Observed, Place};
use crate::sockets::{Purpose, Sockets};
use crate::{Options, descriptors, process};

/// Everything that serves.
pub(crate) struct Running {
    proxy: Proxy,
    keeper: Arc<Keeper>,
    challenges: Arc<Challenges>,
    reminder: Reminder,
    sockets: Arc<Sockets>,
    log: Mutex<LogPlace>,
    metrics: watch::Sender<Place>,
    admin: watch::Sender<AdminPlace>,
    state_dir: PathBuf,
    draining: AtomicBool,
    served: Mutex<Arc<ValidConfig>>,
    upgrade: Mutex<UpgradeState>,
}

/// A document that is ready to be served.
pub(crate) struct Prepared {
    config: Arc<ValidConfig>,
    loaded: Loaded,
    proxy: lb_proxy::Prepared,
    /// What changes of them; none stays as it is.
    metrics: Option<Place>,
    admin: Option<AdminPlace>,
    log: Option<LogPlace>,
}

/// Where the access log goes, if anywhere.
type LogPlace = Option<Arc<LogWriter>>;

/// The engine of the control plane.
#[derive(Clone)]
pub(crate) struct Live(pub(crate) Arc<Running>);

impl Running {
    /// Starts to serve a document.
    pub(crate) fn start(
        config: &Arc<ValidConfig>,
        options: &Options,
        sockets: Arc<Sockets>,
        memory: Memory,
    ) -> Result<Self, StartError> {
        let document = config.config();
        let connections_max = descriptors::raise(document.limits.connections_max)?;
        let metrics = open_metrics(&sockets, document)?;
        let admin = open_admin(&sockets, document, &options.state_dir, None)?;
        let log = open_log(document)?;
        let keeper = Keeper::new(Vault::new(&options.state_dir), lb_control::now);
        let loaded = keeper.start(document);
        let challenges = Arc::default();
        let proxy = Proxy::start(
            config,
            lb_proxy::Options {
                workers: options.workers,
                connections_max,
                access_log: sink(&log),
                sockets: Arc::clone(&sockets) as Arc<dyn lb_proxy::Sockets>,
                memory,
                material: material(&keeper, &loaded, document, &challenges),
            },
        )?;
        Ok(Self {
            proxy,
            keeper: Arc::new(keeper),
            challenges,
            reminder: Reminder::default(),
            sockets,
            log: Mutex::new(log),
            metrics: watch::Sender::new(metrics),
            admin: watch::Sender::new(admin),
            state_dir: options.state_dir.clone(),
            draining: AtomicBool::new(false),
            served: Mutex::new(Arc::clone(config)),
            upgrade: Mutex::new(UpgradeState::Idle),
        })
    }

    /// What has the certificates of the document in force.
    pub(crate) const fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// Where answers for authorities are put.
    pub(crate) const fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Where each virtual service really listens.
    pub(crate) fn addresses(&self) -> BTreeMap<Name, SocketAddr> {
        self.proxy.addresses()
    }

    /// Where metrics are served.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        let place = self.metrics.borrow();
        place.as_ref()?.listener().local_addr().ok()
    }

    /// Where metrics are served from now on.
    pub(crate) fn metrics_places(&self) -> watch::Receiver<Place> {
        self.metrics.subscribe()
    }

    /// Where the admin API is served over the network from now on.
    pub(crate) fn admin_places(&self) -> watch::Receiver<AdminPlace> {
        self.admin.subscribe()
    }

    /// Opens the access log again, after rotation.
    pub(crate) fn reopen_log(&self) {
        if let Some(log) = &*locked(&self.log) {
            log.reopen();
        }
    }

    /// Tells whoever asks that clients should go elsewhere, and lets what is in progress finish.
    pub(crate) fn drain(&self, timeout: std::time::Duration) -> usize {
        self.proxy.drain(timeout).connections_cut
    }

    /// Serves this document, unless it is what is served.
    pub(crate) fn catch_up(self: &Arc<Self>, config: &Arc<ValidConfig>) -> Result<(), StartError> {
        if locked(&self.served).config() != config.config() {
            let prepared = self.prepare(config)?;
            Live(Arc::clone(self)).commit(prepared);
        }
        Ok(())
    }

    /// What a successor needs besides the document.
    pub(crate) fn memory(&self) -> Memory {
        self.proxy.memory()
    }

    /// Leaves metrics to a successor.
    pub(crate) fn leave_metrics(&self) {
        self.metrics.send_replace(None);
    }

    /// How far an upgrade is.
    pub(crate) fn set_upgrade(&self, state: UpgradeState) {
        *locked(&self.upgrade) = state;
    }

    /// From now on `/health` answers that this balancer takes no more traffic.
    pub(crate) fn stop_welcoming(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Writes what waits for the access log.
    pub(crate) fn finish_log(&self) {
        if let Some(log) = locked(&self.log).take() {
            log.finish();
        }
    }

    fn prepare(&self, config: &Arc<ValidConfig>) -> Result<Prepared, StartError> {
        let served = Arc::clone(&locked(&self.served));
        let (before, after) = (served.config(), config.config());
        let loaded = self.keeper.load(after)?;
        if before.limits.connections_max != after.limits.connections_max {
            descriptors::raise(after.limits.connections_max)?;
        }
        let Telemetry {
            metrics_address,
            access_log,
        } = &before.telemetry;
        let moves = *metrics_address != after.telemetry.metrics_address;
        let metrics = moves
            .then(|| open_metrics(&self.sockets, after))
            .transpose()?;
        let turns = before.admin != after.admin;
        let admin = turns.then(|| {
            // On the same address its socket stays.
            let stays = before.admin.address == after.admin.address;
            let present = self.admin.borrow().clone().filter(|_| stays);
            open_admin(&self.sockets, after, &self.state_dir, present)
        });
        let admin = admin.transpose()?;
        let output = |log: &Option<AccessLog>| log.as_ref().map(|log| log.output.clone());
        let turns = output(access_log) != output(&after.telemetry.access_log);
        let log = turns.then(|| open_log(after)).transpose()?;
        let proxy = self
            .proxy
            .prepare(
                config,
                &material(&self.keeper, &loaded, after, &self.challenges),
            )
            .map_err(lb_proxy::StartError::from)?;
        let proxy = match &log {
            Some(log) => proxy.with_access_log(sink(log)),
            None => proxy,
        };
        Ok(Prepared {
            config: Arc::clone(config),
            loaded,
            proxy,
            metrics,
            admin,
            log,
        })
    }
}

impl Live {
    /// Has what is on the disk now shown to clients, and held.
    fn show(&self, config: &Arc<ValidConfig>, loaded: Loaded) {
        let running = &self.0;
        let material = material(
            &running.keeper,
            &loaded,
            config.config(),
            &running.challenges,
        );
        match running.proxy.prepare(config, &material) {
            Ok(prepared) => {
                running.proxy.commit(prepared);
                running.keeper.hold(loaded);
            }
            Err(error) => {
                tracing::error!(%error, "changed certificates cannot be served; it is tried again");
            }
        }
    }
}

impl Engine for Live {
    type Prepared = Prepared;

    fn judge(&self, config: &ValidConfig) -> Result<(), EngineError> {
        let judged = self.0.keeper.judge(config.config());
        judged.map_err(|error| refusal(error.into()))
    }

    fn prepare(&self, config: &Arc<ValidConfig>) -> Result<Prepared, EngineError> {
        self.0.prepare(config).map_err(refusal)
    }

    fn commit(&self, prepared: Prepared) {
        let Prepared {
            config,
            loaded,
            proxy,
            metrics,
            admin,
            log,
        } = prepared;
        let running = &self.0;
        running.proxy.commit(proxy);
        running.keeper.hold(loaded);
        if let Some(place) = metrics {
            running.metrics.send_replace(place);
        }
        if let Some(place) = admin {
            running.admin.send_replace(place);
        }
        if let Some(log) = log {
            let old = std::mem::replace(&mut *locked(&running.log), log);
            if let Some(old) = old {
                old.finish();
            }
        }
        *locked(&running.served) = config;
    }

    fn refresh(&self, config: &Arc<ValidConfig>) {
        let running = &self.0;
        if let Some(loaded) = running.keeper.look_again() {
            self.show(config, loaded);
        }
        running.reminder.remind(&running.keeper, config.config());
    }

    fn servers(&self, tell: &mut dyn FnMut(ServerHealth<'_>)) {
        let status = self.0.proxy.status();
        for (pool, of_pool) in &status.pools {
            for (server, of_server) in &of_pool.servers {
                tell(ServerHealth {
                    pool,
                    server,
                    is_up: of_server.condition != Condition::Down,
                });
            }
        }
    }
}

impl Observable for Live {
    fn status(&self) -> Status {
        self.0.proxy.status()
    }

    fn metrics(&self) -> String {
        self.0.metrics()
    }

    fn explain(&self, config: &ValidConfig, request: &ExplainRequest) -> Result<Value, String> {
        let request = lb_proxy::ExplainRequest {
            virtual_service: request.virtual_service.clone(),
            client: request.client,
            message: request.message.clone().into_bytes(),
        };
        let explained = lb_proxy::explain(config, &request).map_err(|error| error.to_string())?;
        serde_json::to_value(explained).map_err(|error| error.to_string())
    }

    fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    fn admin(&self) -> Option<AdminStatus> {
        self.0.admin.borrow().as_ref()?.status()
    }

    fn upgrade_state(&self) -> UpgradeState {
        locked(&self.0.upgrade).clone()
    }

    fn upgrade(&self) -> Result<(), NoSupervisor> {
        let link = self.0.sockets.link().ok_or(NoSupervisor)?;
        self.0.set_upgrade(UpgradeState::Requested);
        link.upgrade();
        Ok(())
    }
}

impl Observed for Running {
    fn metrics(&self) -> String {
        let mut page = self.proxy.metrics();
        if let Some(log) = &*locked(&self.log) {
            let name = "lb_access_log_failed_lines_total";
            let explanation = "Lines of the access log that could not be written.";
            process::sample(&mut page, name, "counter", explanation, log.failed_lines());
        }
        certificate::write(&mut page, &self.keeper);
        process::write(&mut page);
        page
    }

    fn is_serving(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

fn refusal(error: StartError) -> EngineError {
    let help = error.help();
    EngineError::new(Box::new(error) as Box<dyn Error + Send + Sync>, help)
}

fn sink(log: &LogPlace) -> Option<Arc<dyn AccessSink>> {
    log.clone().map(|log| log as Arc<dyn AccessSink>)
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_metrics(sockets: &Arc<Sockets>, document: &Config) -> Result<Place, StartError> {
    let Some(address) = document.telemetry.metrics_address else {
        return Ok(None);
    };
    let address = address.socket_addr();
    let place = sockets.listen_for(Purpose::Metrics, address);
    let place = place.map_err(|source| StartError::Metrics { address, source })?;
    Ok(Some(Arc::new(place)))
}

fn open_admin(
    sockets: &Arc<Sockets>,
    document: &Config,
    state_dir: &Path,
    present: AdminPlace,
) -> Result<AdminPlace, StartError> {
    let Some(address) = document.admin.address else {
        return Ok(None);
    };
    let socket: Arc<dyn Socket> = if let Some(present) = present {
        Arc::clone(present.socket())
    } else {
        let address = address.socket_addr();
        let socket = sockets.listen_for(Purpose::Admin, address);
        Arc::new(socket.map_err(|source| StartError::Admin { address, source })?)
    };
    let remote = Remote::open(&document.admin, state_dir, socket)?;
    Ok(Some(Arc::new(remote)))
}

fn open_log(document: &Config) -> Result<LogPlace, StartError> {
    let log = document.telemetry.access_log.as_ref();
    let log = log.map(|log| LogWriter::start(&log.output)).transpose()?;
    Ok(log.map(Arc::new))
}
