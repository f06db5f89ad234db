//! One accepted connection: what stands between the socket and the protocol that clients speak.

use std::net::SocketAddr;
use std::rc::Rc;

use lb_model::config::Protocol;
use tokio::net::TcpStream;

use crate::protocol::{http, tcp};
use crate::snapshot::LiveService;
use crate::stream::{Attendance, Client};
use crate::worker::Worker;

/// Serves one connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    stream: TcpStream,
    ends: Ends,
    attendance: Rc<Attendance>,
) {
    let _open = Open::count(Rc::clone(&live), worker.index);
    let client = Client {
        stream,
        peer: ends.peer,
        local: ends.local,
        attendance,
    };
    match live.protocol() {
        Protocol::Http => http::serve(worker, live, client).await,
        // On the heap: it is larger than what an idle HTTP connection needs.
        Protocol::Tcp | Protocol::Tls => Box::pin(tcp::serve(worker, live, client)).await,
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
    live: Rc<LiveService>,
    worker: usize,
}

impl Open {
    fn count(live: Rc<LiveService>, worker: usize) -> Self {
        live.counters(worker).connections.add(1);
        Self { live, worker }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.live.counters(self.worker).connections_closed.add(1);
    }
}
