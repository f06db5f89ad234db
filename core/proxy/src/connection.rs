//! One accepted connection: what stands between the socket and the protocol that clients speak.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use lb_model::config::Protocol;
use tokio::net::TcpStream;

use crate::protocol::{http, tcp};
use crate::snapshot::LocalService;
use crate::stream::Client;
use crate::worker::Worker;

/// Serves one connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    service: Rc<LocalService>,
    stream: TcpStream,
    ends: Ends,
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
