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
use crate::pool::{ClientKey, Held, Outcome, Reason, Refusal, Tried};
use crate::route::Destination;
use crate::snapshot::{LiveService, LocalService, OnUnavailable, Tunnelling};
use crate::stream::{Client, Stream};
use crate::telemetry::access_log::{AccessRecord, ServerRecord, Times, TlsRecord};
use crate::tls::{ClientHello, Speak};
use crate::upstream::{ServerConnection, ServerSocket, Terms, Upstream};
use crate::worker::Worker;

/// What is known of a connection before a server is chosen.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// What was read already.
    pub(super) buffer: Buffer,
    /// What it says, when TLS is passed through.
    pub(super) hello: Option<ClientHello>,
}

/// Serves one client connection to its end.
pub(crate) async fn serve<S: Stream>(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    mut client: Client<S>,
) {
    relay(&worker, &live, &mut client, Beginning::default()).await;
}

/// Chooses a server and carries bytes until one side is done; why there was no server otherwise. What
/// it holds of the configuration under which it began ends with the choice.
pub(super) async fn relay<S: Stream>(
    worker: &Worker,
    live: &Rc<LiveService>,
    client: &mut Client<S>,
    beginning: Beginning,
) -> Option<ProxyError> {
    let started = Instant::now();
    let Beginning { mut buffer, hello } = beginning;
    let key = ClientKey {
        client: client.peer.ip().to_canonical(),
        cookie: None,
    };
    let host = client.stream.tls();
    let host = host.and_then(|tls| tls.server_name.as_deref());
    let asked = Asked {
        hello: hello.as_ref(),
        host,
    };
    let Decided {
        rule,
        idle,
        reached,
    } = Box::pin(decide(worker, live, &key, &asked)).await;
    let (reached, carried, refused) = match reached {
        Ok((server, mut connection)) => {
            let _tunnelling = Tunnelling::new(Rc::clone(live));
            let mut deadline = Deadline::new(started, idle);
            let ours = End {
                stream: &mut client.stream,
                buffer: &mut buffer,
            };
            let theirs = End {
                stream: &mut connection.stream,
                buffer: &mut connection.buffer,
            };
            let carried = tunnel::run(&worker.buffers, ours, theirs, &mut deadline, idle).await;
            server.held.counters().bytes_sent.add(carried.to_server);
            server.held.counters().bytes_received.add(carried.to_client);
            (Some(server), carried, None)
        }
        Err(error) => {
            if matches!(error, ProxyError::Unavailable) {
                live.counters(worker.index).unavailable.add(1);
            }
            let carried = Carried {
                to_server: 0,
                to_client: 0,
                end: error.word(),
            };
            buffer.consume(buffer.len());
            worker.buffers.reclaim(&mut buffer);
            (None, carried, Some(error))
        }
    };
    let duration = started.elapsed();
    let counters = live.counters(worker.index);
    counters.bytes_received.add(carried.to_server);
    counters.bytes_sent.add(carried.to_client);
    counters.duration.record(duration);
    let tls = TlsRecord::of(client.stream.tls());
    let tls = tls.or_else(|| {
        let hello = hello.as_ref()?;
        Some(TlsRecord::asked(hello.server_name.as_deref()))
    });
    log(
        worker,
        live,
        (client.peer, tls),
        (rule, reached),
        &carried,
        duration,
    );
    refused
}

/// Writes a connection that has ended to the access log.
fn log(
    worker: &Worker,
    live: &LiveService,
    (peer, tls): (SocketAddr, Option<TlsRecord<'_>>),
    (rule, reached): (Option<Name>, Option<Chosen>),
    carried: &Carried,
    duration: Duration,
) {
    let Some(log) = worker.access_log() else {
        return;
    };
    let now = SystemTime::now();
    log.write(&AccessRecord {
        time: now.checked_sub(duration).unwrap_or(now),
        client: peer,
        virtual_service: &live.state.name,
        rule: rule.as_ref(),
        pool: reached.as_ref().map(|server| &server.pool),
        server: reached.as_ref().map(|server| ServerRecord {
            name: &server.name,
            address: server.address,
        }),
        http: None,
        tls,
        bytes_received: carried.to_server,
        bytes_sent: carried.to_client,
        times: Times {
            duration,
            ..Times::default()
        },
        retries: 0,
        persistence: reached.as_ref().map(|server| server.reason.word()),
        end: carried.end,
    });
}

/// What a client asks for before it is connected.
struct Asked<'a> {
    hello: Option<&'a ClientHello>,
    /// The host, where TLS was spoken with it.
    host: Option<&'a str>,
}

/// What the configuration in force makes of a connection.
struct Decided {
    rule: Option<Name>,
    /// How long the connection may carry nothing.
    idle: Duration,
    reached: Result<(Chosen, ServerConnection<ServerSocket>), ProxyError>,
}

/// The server of a connection.
struct Chosen {
    held: Held,
    pool: Name,
    name: Name,
    address: SocketAddr,
    reason: Reason,
}

async fn decide(
    worker: &Worker,
    live: &LiveService,
    key: &ClientKey<'_>,
    asked: &Asked<'_>,
) -> Decided {
    let mut since = None;
    loop {
        let service = live.current();
        let (rule, destination) = service.routes.decide_connection(key.client, asked.hello);
        let is_nowhere = matches!(destination, Destination::Nowhere);
        let reached = if is_nowhere && asked.hello.is_some() {
            Err(ProxyError::UnknownHost)
        } else {
            reach(worker, &service, destination, (key, asked.host), &mut since).await
        };
        if !matches!(reached, Err(ProxyError::Superseded)) {
            return Decided {
                rule: rule.cloned(),
                idle: service.service.timeouts.idle.duration(),
                reached,
            };
        }
    }
}

/// A server of the pool that the rules name, or of the one that stands in for it.
async fn reach(
    worker: &Worker,
    service: &LocalService,
    destination: &Destination,
    of_client: (&ClientKey<'_>, Option<&str>),
    since: &mut Option<std::time::Instant>,
) -> Result<(Chosen, ServerConnection<ServerSocket>), ProxyError> {
    let upstream = |destination: &Destination| match destination {
        Destination::Pool(position) => service.pools.get(*position),
        Destination::Redirect(_) | Destination::Respond(_) | Destination::Nowhere => None,
    };
    let first = upstream(destination).ok_or(ProxyError::Unavailable)?;
    match connect(worker, first, of_client, since).await {
        Err(ProxyError::Unavailable) => *since = None,
        outcome => return outcome,
    }
    let replacement = match &service.service.unavailable {
        OnUnavailable::Answer(destination) => upstream(destination),
        OnUnavailable::Close | OnUnavailable::Refuse => None,
    };
    let replacement = replacement.ok_or(ProxyError::Unavailable)?;
    connect(worker, replacement, of_client, since).await
}

async fn connect(
    worker: &Worker,
    upstream: &Upstream,
    (key, host): (&ClientKey<'_>, Option<&str>),
    since: &mut Option<std::time::Instant>,
) -> Result<(Chosen, ServerConnection<ServerSocket>), ProxyError> {
    let local = &upstream.local;
    if local.pool().is_barred() {
        return Err(ProxyError::NoTls);
    }
    let terms = Terms::of(local.pool(), Speak::Http1, || host);
    let mut tried = Tried::default();
    let mut retries = 0;
    let mut failed = None;
    loop {
        let acquired = local.acquire_since(key, &tried, since).await;
        let lease = match (acquired, failed) {
            (Ok(lease), _) => lease,
            // Decided about once a server was tried: why that failed says more.
            (Err(Refusal::Superseded), Some(failed)) => return Err(failed),
            (Err(refusal), _) => return Err(refusal.into()),
        };
        *since = None;
        let counters = lease.server().counters().of(worker.index);
        let timeout = local.pool().connect_timeout();
        let at = (lease.server().name(), lease.server().address());
        match ServerConnection::open(at, timeout, &terms).await {
            Ok(connection) => {
                counters.connections.add(1);
                lease.report(Outcome::Connected);
                let server = Chosen {
                    pool: local.pool().name().clone(),
                    name: lease.server().name().clone(),
                    address: lease.server().address(),
                    reason: lease.reason(),
                    held: lease.into_held(),
                };
                return Ok((server, connection));
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
                failed = Some(error);
            }
        }
    }
}
