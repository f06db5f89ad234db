//! Any protocol over TCP: each connection is balanced as a whole, and a server is connected at once,
//! because in many protocols the server speaks first.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use lb_model::value::Name;
use tokio::time::Instant;

use super::tunnel::{self, Carried, End};
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::error::ProxyError;
use crate::pool::{ClientKey, Lease, Outcome, Tried};
use crate::route::Destination;
use crate::snapshot::{LocalService, OnUnavailable};
use crate::stream::{Client, Stream};
use crate::telemetry::access_log::{AccessRecord, ServerRecord, Times};
use crate::upstream::{ServerConnection, Upstream};
use crate::worker::Worker;

/// Serves one client connection to its end.
pub(crate) async fn serve<S: Stream>(
    worker: Rc<Worker>,
    service: Rc<LocalService>,
    mut client: Client<S>,
) {
    let started = Instant::now();
    let idle = service.service.timeouts.idle.duration();
    let counters = service.counters(worker.index);
    let key = ClientKey {
        client: client.peer.ip().to_canonical(),
        cookie: None,
    };
    let (rule, destination) = service.routes.decide_connection(key.client);
    let outcome = Box::pin(reach(&worker, &service, destination, &key)).await;
    let (reached, carried) = match outcome {
        Ok(Reached {
            pool,
            lease,
            mut connection,
        }) => {
            let mut deadline = Deadline::new(started, idle);
            let mut buffer = Buffer::default();
            let ours = End {
                stream: &mut client.stream,
                buffer: &mut buffer,
            };
            let theirs = End {
                stream: &mut connection.stream,
                buffer: &mut connection.buffer,
            };
            let carried = tunnel::run(&worker.buffers, ours, theirs, &mut deadline, idle).await;
            let server = lease.server().counters().of(worker.index);
            server.bytes_sent.add(carried.to_server);
            server.bytes_received.add(carried.to_client);
            (Some((pool, lease)), carried)
        }
        Err(error) => {
            if matches!(error, ProxyError::Unavailable) {
                counters.unavailable.add(1);
            }
            (
                None,
                Carried {
                    to_server: 0,
                    to_client: 0,
                    end: error.word(),
                },
            )
        }
    };
    let duration = started.elapsed();
    counters.bytes_received.add(carried.to_server);
    counters.bytes_sent.add(carried.to_client);
    counters.duration.record(duration);
    let reached = reached.as_ref().map(|(pool, lease)| (*pool, lease));
    log(
        &worker,
        &service,
        client.peer,
        rule,
        reached,
        &carried,
        duration,
    );
}

/// Writes a connection that has ended to the access log.
fn log(
    worker: &Worker,
    service: &LocalService,
    peer: SocketAddr,
    rule: Option<&Name>,
    reached: Option<(&Name, &Lease<'_>)>,
    carried: &Carried,
    duration: Duration,
) {
    let Some(log) = &worker.access_log else {
        return;
    };
    let now = SystemTime::now();
    log.write(&AccessRecord {
        time: now.checked_sub(duration).unwrap_or(now),
        client: peer,
        virtual_service: &service.service.name,
        rule,
        pool: reached.map(|(pool, _)| pool),
        server: reached.map(|(_, lease)| ServerRecord {
            name: lease.server().name(),
            address: lease.server().address(),
        }),
        http: None,
        bytes_received: carried.to_server,
        bytes_sent: carried.to_client,
        times: Times {
            duration,
            ..Times::default()
        },
        retries: 0,
        persistence: reached.map(|(_, lease)| lease.reason().word()),
        end: carried.end,
    });
}

/// A server with a connection to it.
struct Reached<'a> {
    pool: &'a Name,
    lease: Lease<'a>,
    connection: ServerConnection,
}

/// A server of the pool that the rules name, or of the one that stands in for it.
async fn reach<'a>(
    worker: &Worker,
    service: &'a LocalService,
    destination: &'a Destination,
    key: &ClientKey<'_>,
) -> Result<Reached<'a>, ProxyError> {
    let upstream = |destination: &Destination| match destination {
        Destination::Pool(position) => service.pools.get(*position),
        Destination::Redirect(_) | Destination::Respond(_) | Destination::Nowhere => None,
    };
    let first = upstream(destination).ok_or(ProxyError::Unavailable)?;
    match connect(worker, first, key).await {
        Err(ProxyError::Unavailable) => {}
        outcome => return outcome,
    }
    let replacement = match &service.service.unavailable {
        OnUnavailable::Answer(destination) => upstream(destination),
        OnUnavailable::Close | OnUnavailable::Refuse => None,
    };
    connect(worker, replacement.ok_or(ProxyError::Unavailable)?, key).await
}

async fn connect<'a>(
    worker: &Worker,
    upstream: &'a Upstream,
    key: &ClientKey<'_>,
) -> Result<Reached<'a>, ProxyError> {
    let local = &upstream.local;
    let mut tried = Tried::default();
    let mut retries = 0;
    loop {
        let mut lease = local.acquire(key, &tried).await.map_err(ProxyError::from)?;
        let counters = lease.server().counters().of(worker.index);
        let timeout = local.pool().connect_timeout();
        match ServerConnection::open(lease.server().address(), timeout).await {
            Ok(connection) => {
                counters.connections.add(1);
                lease.report(Outcome::Connected);
                lease.commit();
                return Ok(Reached {
                    pool: local.pool().name(),
                    lease,
                    connection,
                });
            }
            Err(error) => {
                counters.connect_failures.add(1);
                lease.report(Outcome::ConnectFailed);
                tried.add(lease.index());
                if retries >= local.pool().retries() || !local.try_retry() {
                    return Err(error);
                }
                retries += 1;
                counters.retries.add(1);
            }
        }
    }
}
