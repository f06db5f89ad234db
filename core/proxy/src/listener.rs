//! Bound sockets: one for each worker and virtual service, so that the kernel spreads connections
//! over the cores.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lb_model::value::Name;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::{self, Ends};
use crate::snapshot::LocalService;
use crate::worker::Worker;

/// How many connections the kernel may hold for us; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// How long to wait when the system refuses another connection, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket of one worker.
pub(crate) struct Listener {
    pub(crate) socket: std::net::TcpListener,
    pub(crate) service: Rc<LocalService>,
    /// The address that was bound, with its real port.
    pub(crate) local: SocketAddr,
}

/// The connection counts against these limits until this is dropped.
pub(crate) struct Admission {
    _service: Option<OwnedSemaphorePermit>,
    _balancer: OwnedSemaphorePermit,
}

/// A virtual service whose address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("virtual service `{service}` cannot listen on {address}")]
pub struct BindError {
    /// The virtual service.
    pub service: Name,
    /// Its address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Binds one socket for each of `workers`. All have the same port, also when the address asks for a
/// free one.
pub(crate) fn bind(
    service: &Name,
    address: SocketAddr,
    workers: usize,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    let failed = |source| BindError {
        service: service.clone(),
        address,
        source,
    };
    // With SO_REUSEPORT the kernel would let us share the port with another program that sets it
    // too, and clients would reach one or the other. A socket without it finds out.
    let probe = open(address, false).map_err(failed)?;
    let address = probe.local_addr().map_err(failed)?;
    drop(probe);
    (0..workers)
        .map(|_| open(address, true).map_err(failed))
        .collect()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: no system call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(if shared { BACKLOG } else { 1 })?;
    Ok(socket.into())
}

impl Listener {
    /// Accepts connections until the task is aborted.
    pub(crate) async fn accept(self, worker: Rc<Worker>) {
        let listener = match TcpListener::from_std(self.socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(service = %self.service.service.name, %error, "the listener is lost");
                return;
            }
        };
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // While a limit is reached this connection waits here and further ones in the
                    // backlog.
                    let Some(admission) = admit(&worker, &self.service).await else {
                        return;
                    };
                    start(
                        &worker,
                        &self.service,
                        stream,
                        Ends {
                            peer,
                            local: self.local,
                        },
                        admission,
                    );
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(
                        service = %self.service.service.name, %error,
                        "a connection could not be accepted"
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn admit(worker: &Worker, service: &LocalService) -> Option<Admission> {
    let of_balancer = Arc::clone(&worker.connections_limit)
        .acquire_owned()
        .await
        .ok()?;
    let of_service = match &service.service.connections {
        Some(limit) => Some(Arc::clone(limit).acquire_owned().await.ok()?),
        None => None,
    };
    Some(Admission {
        _service: of_service,
        _balancer: of_balancer,
    })
}

fn start(
    worker: &Rc<Worker>,
    service: &Rc<LocalService>,
    stream: TcpStream,
    ends: Ends,
    admission: Admission,
) {
    let (own, service) = (Rc::clone(worker), Rc::clone(service));
    worker.spawn(move |idle| async move {
        connection::serve(own, service, stream, ends, idle).await;
        drop(admission);
    });
}

/// Errors that end one connection before it was accepted and say nothing about the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
