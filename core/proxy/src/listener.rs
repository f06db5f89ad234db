//! Accepting: one socket for each worker and virtual service, so that the kernel spreads connections
//! over the cores.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

use crate::connection::{self, Ends};
use crate::limit::Permit;
use crate::snapshot::{LiveService, Served};
use crate::worker::Worker;

mod datagram;
mod endpoint;
mod relay;
mod socket;

pub use datagram::bind_datagram_beside;
use endpoint::Endpoint;
use socket::Free;
pub use socket::{BindError, OwnSockets, SocketKind, Sockets, bind, bind_beside};
pub(crate) use socket::{Bound, Hold};

/// How long to wait when the system refuses another connection, mostly for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections that the kernel has begun to accept are waited for before a socket is closed:
/// the last step of an opening connection is on its way for as long as the network takes.
const CLOSE_AFTER: Duration = Duration::from_millis(500);

/// How long a connection that was accepted waits for a place when its socket closes, before it is given up.
const PLACE_WITHIN: Duration = Duration::from_secs(30);

/// Until when a socket that closes does what.
struct Closing {
    accepts: Pin<Box<Sleep>>,
    waits: Pin<Box<Sleep>>,
}

/// A socket on which a worker accepts, and for whom.
pub(crate) struct Listener {
    bound: Arc<Bound>,
    socket: Socket,
    served: RefCell<Served>,
    closing: RefCell<Option<Closing>>,
    /// Wakes the task that accepts; its waker never changes.
    waker: RefCell<Option<Waker>>,
}

/// Where connections come from.
enum Socket {
    Stream(TcpListener),
    Datagram(Endpoint),
}

/// The connection counts against these limits until this is dropped.
pub(crate) struct Admission {
    _service: Permit,
    _balancer: Permit,
}

impl Listener {
    /// The socket of a worker, unless it was taken before. Called on the worker's runtime.
    pub(crate) fn new(bound: Arc<Bound>, worker: &Worker, live: Rc<LiveService>) -> Option<Self> {
        let socket = match bound.take(worker.index)? {
            Free::Stream(socket) => TcpListener::from_std(socket).map(Socket::Stream),
            Free::Datagram(socket) => {
                Endpoint::new(socket, &bound, worker, &live).map(Socket::Datagram)
            }
        };
        let lost = |error: &io::Error| {
            let service = &live.state.name;
            tracing::error!(%service, %error, "the listener is lost");
        };
        let socket = socket.inspect_err(lost).ok()?;
        if let Socket::Stream(socket) = &socket {
            // A process that ended while it closed it may have left it to us like that.
            socket::open_again(socket);
        }
        Some(Self {
            bound,
            socket,
            served: RefCell::new(Served::new(live)),
            closing: RefCell::default(),
            waker: RefCell::default(),
        })
    }

    /// From now on connections are accepted for this virtual service, also when the socket was about
    /// to be closed.
    pub(crate) fn serve(&self, live: Rc<LiveService>) {
        self.served.replace(Served::new(live));
        if self.closing.take().is_some()
            && let Socket::Stream(socket) = &self.socket
        {
            socket::open_again(socket);
        }
    }

    /// Closes the socket once everything that the kernel has accepted is accepted here.
    pub(crate) fn close(&self) {
        if let Socket::Stream(socket) = &self.socket {
            socket::shut_off(socket);
        }
        self.closing.replace(Some(Closing {
            accepts: Box::pin(sleep(CLOSE_AFTER)),
            waits: Box::pin(sleep(PLACE_WITHIN)),
        }));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Accepts connections until the socket is to be closed or the task is aborted. What was bound is
    /// given back.
    pub(crate) async fn accept(&self, worker: &Rc<Worker>) -> Arc<Bound> {
        while self.accept_one(worker).await {}
        Arc::clone(&self.bound)
    }

    /// Accepts one connection; `false` when there will be no more.
    async fn accept_one(&self, worker: &Rc<Worker>) -> bool {
        match &self.socket {
            Socket::Stream(socket) => self.accept_stream(socket, worker).await,
            Socket::Datagram(endpoint) => self.accept_quic(endpoint, worker).await,
        }
    }

    async fn accept_stream(&self, socket: &TcpListener, worker: &Rc<Worker>) -> bool {
        let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => self.poll_closed(cx).map(|()| None),
        });
        match accepted.await {
            Some(Ok((stream, peer))) => {
                let live = self.live();
                // While a limit is reached this connection waits here and further ones in the
                // backlog.
                let Some(admission) = self.admit(worker, &live).await else {
                    return true;
                };
                let local = self.bound.local();
                // Another one than before if the address has gone to it meanwhile.
                let live = self.live();
                start(worker, live, stream, Ends { peer, local }, admission);
            }
            Some(Err(error)) if is_of_connection(&error) => {}
            Some(Err(error)) => {
                let service = &self.live().state.name;
                tracing::warn!(%service, %error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
            None => return false,
        }
        true
    }

    /// Whether connections depend on the socket that were accepted before.
    fn carries(&self) -> bool {
        match &self.socket {
            Socket::Stream(_) => false,
            Socket::Datagram(endpoint) => endpoint.carries(),
        }
    }

    /// What comes to the socket.
    pub(crate) fn kind(&self) -> SocketKind {
        self.bound.kind()
    }

    /// Accepts nothing any more. Whether somebody else accepts what comes to this socket.
    pub(crate) fn leave(&self) -> bool {
        match &self.socket {
            Socket::Stream(_) => false,
            Socket::Datagram(endpoint) => endpoint.leave(),
        }
    }

    /// Ends the connections that depend on the socket, and tells the clients.
    pub(crate) async fn hang_up(&self) {
        if let Socket::Datagram(endpoint) = &self.socket {
            endpoint.hang_up().await;
        }
    }

    /// Who gets the connections.
    fn live(&self) -> Rc<LiveService> {
        Rc::clone(self.served.borrow().live())
    }

    /// Ready when the time is over in which a socket that closes still accepts.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.be_woken(cx);
        let mut closing = self.closing.borrow_mut();
        let Some(Closing {
            accepts: closing, ..
        }) = &mut *closing
        else {
            return Poll::Pending;
        };
        while closing.as_mut().poll(cx).is_ready() {
            if !self.carries() && self.bound.end() {
                return Poll::Ready(());
            }
            // A configuration that is prepared but not in force may want it.
            closing.as_mut().reset(Instant::now() + CLOSE_AFTER);
        }
        Poll::Pending
    }

    /// Ready when the time is over in which somebody waits for a place with a socket that closes.
    fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.be_woken(cx);
        match &mut *self.closing.borrow_mut() {
            Some(closing) => closing.waits.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Has the task that accepts hear of it when the socket is to be closed.
    fn be_woken(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Nothing when the socket closes and there is no place for long.
    async fn admit(&self, worker: &Worker, live: &LiveService) -> Option<Admission> {
        let (of_balancer, of_service) = (&worker.connections, &live.state.connections);
        if let Some(admission) = Admission::try_take(worker, live) {
            return Some(admission);
        }
        let mut waiting = pin!(async {
            // In this order, so that nobody holds one of the balancer while waiting for the other.
            let service = of_service.take().await;
            Admission {
                _service: service,
                _balancer: of_balancer.take().await,
            }
        });
        poll_fn(|cx| match waiting.as_mut().poll(cx) {
            Poll::Ready(admission) => Poll::Ready(Some(admission)),
            Poll::Pending => self.poll_given_up(cx).map(|()| None),
        })
        .await
    }
}

impl Admission {
    /// A place for a connection, if there is one now.
    fn try_take(worker: &Worker, live: &LiveService) -> Option<Self> {
        Some(Self {
            _balancer: worker.connections.try_take()?,
            _service: live.state.connections.try_take()?,
        })
    }
}

fn start(
    worker: &Rc<Worker>,
    live: Rc<LiveService>,
    stream: TcpStream,
    ends: Ends,
    admission: Admission,
) {
    let own = Rc::clone(worker);
    worker.spawn(&Rc::clone(&live), move |attendance| async move {
        connection::serve(own, live, stream, ends, attendance).await;
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
