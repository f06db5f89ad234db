//! Health checks: probes at intervals, and what their results make of a server. Nothing here is on
//! the path of a request; results reach it as a change of the pool's epoch.

use std::error::Error;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_model::config::{HealthCheck, Probe, ServerState as Administrative};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

mod check;
mod http;
mod tcp;

#[cfg(test)]
mod tests;

use crate::balance::random::Random;
use crate::pool::{Health, Pool, ServerIndex};
use check::Check;

/// The running checks of a pool; dropped, they end.
#[derive(Debug)]
pub(crate) struct Checks {
    /// A `JoinSet` aborts its tasks when it is dropped, which is all that is asked of it.
    _tasks: JoinSet<()>,
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
enum ProbeFailure {
    #[error("the answer does not match `{expected}`")]
    Answer { expected: String },
    #[error("the body does not match `{expected}`")]
    Body { expected: String },
    #[error("connect")]
    Connect { source: std::io::Error },
    #[error("the server closed the connection before its answer was complete")]
    Closed,
    #[error("the answer is not HTTP")]
    NotHttp { source: httparse::Error },
    #[error("the answer is not HTTP: {what}")]
    Malformed { what: &'static str },
    #[error("no answer within {millis} ms")]
    Timeout { millis: u128 },
    #[error("receive")]
    Receive { source: std::io::Error },
    #[error("send")]
    Send { source: std::io::Error },
    #[error("status {status}")]
    Status { status: u16 },
}

/// Begins the checks of a pool, on the runtime that this is called in. Servers that are disabled are
/// left alone.
pub(crate) fn spawn(pool: &Arc<Pool>) -> Checks {
    let mut tasks = JoinSet::new();
    if let Some(check) = pool.health_check() {
        for (position, server) in pool.servers().iter().enumerate() {
            match server.administrative() {
                Administrative::Disabled => {}
                Administrative::Draining | Administrative::Enabled => {
                    let (pool, check) = (Arc::clone(pool), check.clone());
                    tasks.spawn(watch(pool, ServerIndex::new(position), check));
                }
            }
        }
    }
    Checks { _tasks: tasks }
}

/// Probes a server for as long as it is let.
async fn watch(pool: Arc<Pool>, index: ServerIndex, model: HealthCheck) {
    let mut address = pool.server(index).address();
    address.set_port(model.port.unwrap_or(address.port()));
    let mut check = Check::new(&model, pool.server(index).health());
    let random = Random::new();
    let mut next = check.first(Instant::now().into_std(), random.unit());
    loop {
        sleep_until(next.into()).await;
        let started = Instant::now().into_std();
        let result = timeout(model.timeout.duration(), probe(&model.probe, address)).await;
        let result = result.unwrap_or_else(|_| {
            let millis = model.timeout.duration().as_millis();
            Err(ProbeFailure::Timeout { millis })
        });
        let finding = match &result {
            Ok(finding) => finding.clone(),
            Err(failure) => chain(failure),
        };
        let health = check.observe(result.is_ok());
        announce(&pool, index, health, &finding.into());
        next = check.next(started, Instant::now().into_std(), random.unit());
    }
}

/// Sends a probe and judges the answer; the text says what was found.
async fn probe(probe: &Probe, address: SocketAddr) -> Result<String, ProbeFailure> {
    match probe {
        Probe::Http(probe) => http::probe(probe, address).await,
        Probe::Tcp(probe) => tcp::probe(probe, address).await,
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
