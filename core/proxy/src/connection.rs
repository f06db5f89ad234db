//! One accepted connection: what stands between the socket and the protocol that clients speak.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use lb_model::config::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::listener::Admission;
use crate::protocol::{http, tcp};
use crate::snapshot::LocalService;
use crate::worker::Worker;

/// A stream of bytes to and from a client or a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Ready when there is something to read, so that a connection need not hold a buffer to wait.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Stream for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

/// The client's side of a connection.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    pub(crate) peer: SocketAddr,
    /// The address that the client connected to.
    pub(crate) local: SocketAddr,
    /// Told to the worker: whether the connection is between requests.
    pub(crate) idle: Rc<Cell<bool>>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    service: Rc<LocalService>,
    stream: TcpStream,
    ends: Ends,
    admission: Admission,
    idle: Rc<Cell<bool>>,
) {
    let _open = Open::count(Rc::clone(&service), worker.index);
    let client = Client {
        stream,
        peer: ends.peer,
        local: ends.local,
        idle,
    };
    match service.service.protocol {
        Protocol::Http => http::serve(worker, service, client).await,
        // On the heap: it is larger than what an idle HTTP connection needs.
        Protocol::Tcp => Box::pin(tcp::serve(worker, service, client)).await,
    }
    drop(admission);
}

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Counts a connection as open until it is dropped, however the task ends.
struct Open {
    service: Rc<LocalService>,
    worker: usize,
}

impl Open {
    fn count(service: Rc<LocalService>, worker: usize) -> Self {
        service.counters(worker).connections.add(1);
        Self { service, worker }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.service.counters(self.worker).connections_closed.add(1);
    }
}
