//! Accepting connections of QUIC: one endpoint for each worker and virtual service.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use quinn::{AsyncUdpSocket, Incoming, Runtime, TokioRuntime, VarInt};
use tokio::time::timeout;

use super::relay::SharedSocket;
use super::{Admission, Bound, Listener};
use crate::connection::{self, Ends};
use crate::quic::{self, Place};
use crate::snapshot::LiveService;
use crate::worker::Worker;

/// How many handshakes a worker has in progress before clients have to show first that they are where they
/// say (RFC 9000 section 8.1), and before no further one is listened to.
const UNVALIDATED_MAX: usize = 64;
const HANDSHAKES_MAX: usize = 1024;

/// How long clients may take to hear that their connections have been cut.
const HANG_UP_MAX: Duration = Duration::from_millis(200);

/// A connection ends as the balancer does: `H3_NO_ERROR` (RFC 9114 section 8.1).
const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// A socket for datagrams, and the connections that come through it.
pub(super) struct Endpoint {
    inner: quinn::Endpoint,
    handshakes: Rc<Cell<usize>>,
    /// The socket, when another process may have it, too.
    shared: Option<Arc<SharedSocket>>,
}

/// A handshake in progress.
struct Handshake(Rc<Cell<usize>>);

impl Handshake {
    fn begin(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let Self(count) = self;
        count.set(count.get() - 1);
    }
}

impl Endpoint {
    /// An endpoint over this socket. Called on the worker's runtime.
    pub(super) fn new(
        socket: UdpSocket,
        bound: &Bound,
        worker: &Worker,
        live: &LiveService,
    ) -> io::Result<Self> {
        let quic = live.look(|service| service.quic.clone());
        let quic = quic.ok_or(io::ErrorKind::InvalidInput)?;
        let place = Place {
            worker: worker.index,
            workers: worker.count,
            generation: quic.secrets.generation,
        };
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        let shared = bound.relay_folder().and_then(|folder| {
            let shared = SharedSocket::new(Arc::clone(&socket), &folder, place, bound.local());
            let lost = |error: &io::Error| {
                let (service, folder) = (&live.state.name, folder.display());
                tracing::warn!(
                    %service, %folder, %error,
                    "connections of HTTP/3 will not outlive an upgrade: their datagrams cannot be passed on"
                );
            };
            shared.inspect_err(lost).ok().map(Arc::new)
        });
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            quic::endpoint_config(&quic.secrets, place),
            Some(quinn::ServerConfig::clone(&quic.config)),
            match &shared {
                Some(shared) => Arc::clone(shared) as Arc<dyn AsyncUdpSocket>,
                None => socket,
            },
            Arc::new(TokioRuntime),
        )?;
        Ok(Self {
            inner: endpoint,
            handshakes: Rc::default(),
            shared,
        })
    }

    /// Leaves what is not for connections of this process to its successor; whether there is one.
    pub(super) fn leave(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.leave())
    }

    /// Whether there are connections.
    pub(super) fn carries(&self) -> bool {
        self.inner.open_connections() > 0
    }

    /// Ends all connections, and tells the clients.
    pub(super) async fn hang_up(&self) {
        self.inner.close(NO_ERROR, b"");
        let _told = timeout(HANG_UP_MAX, self.inner.wait_idle()).await;
    }

    /// Whether this client has to show first that it is where it says.
    fn doubts(&self, incoming: &Incoming) -> bool {
        !incoming.remote_address_validated()
            && self.handshakes.get() >= UNVALIDATED_MAX
            && incoming.may_retry()
    }
}

impl Listener {
    /// Accepts one connection; `false` when there will be no more.
    pub(super) async fn accept_quic(&self, endpoint: &Endpoint, worker: &Rc<Worker>) -> bool {
        let mut accepting = pin!(endpoint.inner.accept());
        let incoming = poll_fn(|cx| match accepting.as_mut().poll(cx) {
            Poll::Ready(incoming) => Poll::Ready(incoming),
            Poll::Pending => self.poll_closed(cx).map(|()| None),
        });
        let Some(incoming) = incoming.await else {
            return false;
        };
        let live = self.live();
        let leaves = worker.is_draining() || self.closing.borrow().is_some();
        let quic = live.look(|service| service.quic.clone());
        let Some(quic) = quic.filter(|_| !leaves) else {
            incoming.refuse();
            return true;
        };
        if endpoint.doubts(&incoming) {
            // It fails for those that have shown it.
            let _asked = incoming.retry();
            return true;
        }
        if endpoint.handshakes.get() >= HANDSHAKES_MAX {
            incoming.ignore();
            return true;
        }
        // There is no backlog to wait in: who is refused here connects over TCP, where it may wait.
        let Some(admission) = Admission::try_take(worker, &live) else {
            incoming.refuse();
            return true;
        };
        let mut local = self.bound.local();
        if let Some(ip) = incoming.local_ip() {
            local.set_ip(ip);
        }
        let ends = Ends {
            peer: incoming.remote_address(),
            local,
        };
        let connecting = match incoming.accept_with(quic.config) {
            Ok(connecting) => connecting,
            Err(error) => {
                connection::tell_no_quic(worker, &live, ends, &error);
                return true;
            }
        };
        let handshake = Handshake::begin(&endpoint.handshakes);
        let own = Rc::clone(worker);
        worker.spawn(&Rc::clone(&live), move |attendance| async move {
            connection::serve_quic(own, live, connecting, ends, (attendance, handshake)).await;
            drop(admission);
        });
        true
    }
}
