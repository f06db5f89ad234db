//! Health checks: probes at intervals, and what their results make of a server. Nothing here is on
//! the path of a request; results reach it as a change of the pool's epoch.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lb_model::config::{Probe, ServerState as Administrative};
use lb_model::value::Name;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

mod check;
mod grpc;
mod http;
mod http2;
mod tcp;

#[cfg(test)]
mod tests;

use crate::balance::random::Random;
use crate::pool::{Health, Pool, ServerId, ServerIndex};
use crate::tls::{ServersTls, Speak};
use crate::upstream::ServerSocket;
use check::Check;

/// The running checks of every pool; dropped, they end.
#[derive(Debug)]
pub(crate) struct Checks {
    watches: HashMap<ServerId, Watch>,
    /// A `JoinSet` aborts its tasks when it is dropped.
    tasks: JoinSet<()>,
    /// Probes at a time: each needs a descriptor.
    places: Arc<Semaphore>,
}

/// The check of one server.
#[derive(Debug)]
struct Watch {
    target: Arc<Target>,
    task: AbortHandle,
}

/// Which server is probed, as the configuration in force has it.
#[derive(Debug)]
struct Target {
    present: Mutex<(Arc<Pool>, ServerIndex)>,
    /// Told when the settings of the check have changed.
    changed: Notify,
}

/// The most probes at a time; further ones are late. Servers that swallow them hold one for the
/// whole timeout each.
const PROBES_MAX: usize = 2048;

/// How much longer the first probes are spread for each server among them, so that thousands of
/// servers are not all probed at once.
const SPREAD_EACH: Duration = Duration::from_micros(200);

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum ProbeFailure {
    #[error("the answer does not match `{expected}`")]
    Answer { expected: String },
    #[error("the body does not match `{expected}`")]
    Body { expected: String },
    #[error("connect")]
    Connect { source: std::io::Error },
    #[error("TLS cannot be spoken with the servers of this pool; the log says why")]
    NoTls,
    #[error("{cause}; {help}")]
    Tls { cause: String, help: &'static str },
    #[error("the server closed the connection before its answer was complete")]
    Closed,
    #[error("the answer is not HTTP")]
    NotHttp { source: httparse::Error },
    #[error("the answer is not HTTP: {what}")]
    Malformed { what: &'static str },
    #[error("the answer is not HTTP/2: {what}")]
    NotHttp2 { what: &'static str },
    #[error("the server breaks the request off with the HTTP/2 code {code}")]
    Reset { code: u32 },
    #[error("grpc-status {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Grpc { status: String, message: String },
    #[error("the service is {state}")]
    NotServing { state: &'static str },
    #[error("no answer within {millis} ms")]
    Timeout { millis: u128 },
    #[error("receive")]
    Receive { source: std::io::Error },
    #[error("send")]
    Send { source: std::io::Error },
    #[error("status {status}")]
    Status { status: u16 },
}

impl Checks {
    pub(crate) fn new() -> Self {
        Self {
            watches: HashMap::new(),
            tasks: JoinSet::new(),
            places: Arc::new(Semaphore::new(PROBES_MAX)),
        }
    }

    /// Ends the checks of these servers. No result of theirs comes any more.
    pub(crate) fn stop(&mut self, servers: &[ServerId]) {
        for server in servers {
            if let Some(watch) = self.watches.remove(server) {
                watch.task.abort();
            }
        }
        // What has ended is not kept until the end of all.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Takes over configurations of pools, on the runtime that this is called in: checks that run
    /// already go on, with new settings if those have changed. Servers that are disabled are left alone.
    pub(crate) fn take_over(&mut self, pools: &[Arc<Pool>]) {
        let watched = |pool: &&Arc<Pool>| pool.health_check().is_some();
        let pools = || pools.iter().filter(watched);
        let servers: usize = pools().map(|pool| pool.servers().len()).sum();
        let spread = SPREAD_EACH.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
        for pool in pools() {
            for index in watched_servers(pool) {
                let id = pool.server(index).id();
                match self.watches.get(&id) {
                    Some(watch) => watch.target.take_over(pool, index),
                    None => self.begin(id, pool, index, spread),
                }
            }
        }
    }

    fn begin(&mut self, id: ServerId, pool: &Arc<Pool>, index: ServerIndex, spread: Duration) {
        let target = Arc::new(Target {
            present: Mutex::new((Arc::clone(pool), index)),
            changed: Notify::new(),
        });
        let places = Arc::clone(&self.places);
        let task = self.tasks.spawn(watch(Arc::clone(&target), places, spread));
        self.watches.insert(id, Watch { target, task });
    }
}

/// The servers of a pool that are probed.
pub(crate) fn watched_servers(pool: &Pool) -> impl Iterator<Item = ServerIndex> {
    let servers = (0..).map(ServerIndex::new).zip(pool.servers());
    servers
        .filter(|(_, server)| pool.health_check().is_some() && is_probed(server.administrative()))
        .map(|(index, _)| index)
}

const fn is_probed(state: Administrative) -> bool {
    match state {
        Administrative::Disabled => false,
        Administrative::Draining | Administrative::Enabled => true,
    }
}

impl Target {
    fn present(&self) -> (Arc<Pool>, ServerIndex) {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.clone()
    }

    fn take_over(&self, pool: &Arc<Pool>, index: ServerIndex) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *present, (Arc::clone(pool), index));
        if before.0.health_check() != pool.health_check() {
            self.changed.notify_one();
        }
    }

    /// The check as it begins with the present settings and the present health.
    fn check(&self) -> Option<Check> {
        let (pool, index) = self.present();
        let model = pool.health_check()?;
        Some(Check::new(model, pool.server(index).health()))
    }

    /// Probes once.
    async fn probe(&self) -> Result<String, ProbeFailure> {
        let (pool, index) = self.present();
        let Some(model) = pool.health_check() else {
            return std::future::pending().await;
        };
        let mut address = pool.server(index).address();
        address.set_port(model.port.unwrap_or(address.port()));
        if pool.is_barred() {
            return Err(ProbeFailure::NoTls);
        }
        let aim = Aim {
            name: pool.server(index).name(),
            address,
            tls: pool.tls(),
            speak: pool.speak(),
            until: Instant::now() + model.timeout.duration(),
        };
        let result = timeout(model.timeout.duration(), probe(&model.probe, &aim)).await;
        result.unwrap_or_else(|_| {
            let millis = model.timeout.duration().as_millis();
            Err(ProbeFailure::Timeout { millis })
        })
    }
}

/// Probes a server for as long as it is let. Between probes it holds nothing of a configuration.
async fn watch(target: Arc<Target>, places: Arc<Semaphore>, spread: Duration) {
    let random = Random::new();
    let now = || Instant::now().into_std();
    while let Some(mut check) = target.check() {
        let mut next = check.first(now(), spread, random.unit());
        loop {
            let due = async {
                sleep_until(next.into()).await;
                // An error means that the semaphore was closed, which nobody does.
                let _place = places.acquire().await;
                // On the heap: most checks are between two probes most of the time.
                (now(), Box::pin(target.probe()).await)
            };
            let (started, result) = tokio::select! {
                biased;
                // With other settings another answer may be right: the probe on its way is dropped.
                () = target.changed.notified() => break,
                probed = due => probed,
            };
            let finding = match &result {
                Ok(finding) => finding.clone(),
                Err(failure) => chain(failure),
            };
            let health = check.observe(result.is_ok());
            let (pool, index) = target.present();
            announce(&pool, index, health, &finding.into());
            next = check.next(started, now(), random.unit());
        }
    }
}

/// Sends a probe and judges the answer; the text says what was found.
async fn probe(probe: &Probe, aim: &Aim<'_>) -> Result<String, ProbeFailure> {
    match probe {
        Probe::Http(probe) => http::probe(probe, aim).await,
        Probe::Grpc(probe) => grpc::probe(probe, aim).await,
        Probe::Tcp(probe) => tcp::probe(probe, aim).await,
    }
}

/// What is probed.
#[derive(Debug)]
struct Aim<'a> {
    name: &'a Name,
    address: SocketAddr,
    tls: Option<&'a Arc<ServersTls>>,
    /// What the servers of the pool are asked to speak.
    speak: Speak,
    until: Instant,
}

impl Aim<'_> {
    /// A connection, over TLS if that is spoken with the pool. `host` is what the probe asks for.
    async fn connect(
        &self,
        host: Option<&str>,
        speak: Speak,
    ) -> Result<ServerSocket, ProbeFailure> {
        let connected = TcpStream::connect(self.address).await;
        let stream = connected.map_err(|source| ProbeFailure::Connect { source })?;
        let Some(tls) = self.tls else {
            return Ok(ServerSocket::Plain(stream));
        };
        let at = (self.name, self.address);
        let spoken = tls.connect(stream, at, (host, speak), self.until).await;
        spoken
            .map(ServerSocket::Tls)
            .map_err(|error| ProbeFailure::Tls {
                cause: error.cause(),
                help: error.help(),
            })
    }
}

/// Tells the pool what a probe found, and the log if that is news.
fn announce(pool: &Pool, index: ServerIndex, health: Health, finding: &Arc<str>) {
    if !pool.mark(index, health, Arc::clone(finding)) {
        return;
    }
    let (name, server) = (pool.name(), pool.server(index).name());
    match health {
        Health::Down => {
            tracing::warn!(pool = %name, server = %server, reason = %finding, "server down");
        }
        Health::Up | Health::Unchecked => {
            tracing::info!(pool = %name, server = %server, reason = %finding, "server up");
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("writing to a String cannot fail");
        source = cause.source();
    }
    text
}
