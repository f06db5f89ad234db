//! Connections of one worker to one server that many requests share: those that speak HTTP/2.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use lb_model::value::Name;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::idle::Keeping;
use super::{ServerConnection, ServerSocket, ServerStream, Terms, driver};
use crate::buffer::Buffer;
use crate::error::ProxyError;
use crate::http2::Channel;
use crate::http2::session::Session;
use crate::stream::Stream as _;
use crate::tls::Speak;
use crate::worker::Worker;

/// How long a server that did not agree to HTTP/2 is taken to speak HTTP/1.1 alone.
const HTTP1_FOR: Duration = Duration::from_secs(30);

/// The shared connections to a server.
#[derive(Debug, Default)]
pub(super) struct SharedConnections {
    list: RefCell<Vec<Shared>>,
    /// Told when the connection that somebody opens is there, or has failed.
    opening: RefCell<Option<Rc<Notify>>>,
    http1_until: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct Shared {
    session: Rc<Session>,
    tls: u64,
    host: Option<Box<str>>,
    opened: Instant,
    /// Its latest stream when it was looked at, and since when that is so.
    latest: (u32, Instant),
}

/// A connection for a request, and whether it was opened for it.
pub(crate) struct Opened {
    pub(crate) connection: ServerConnection,
    pub(crate) is_new: bool,
}

impl SharedConnections {
    /// A stream of a connection on these terms.
    pub(super) fn take(&self, terms: &Terms<'_>) -> Option<ServerConnection> {
        let list = self.list.borrow();
        list.iter()
            .filter(|shared| shared.fits(terms))
            .find_map(Shared::stream)
    }

    /// Opens a connection, or waits for the one that another request opens: a burst must not open
    /// one for each request.
    pub(super) async fn open(
        &self,
        worker: &Rc<Worker>,
        at: (&Name, SocketAddr),
        timeout: Duration,
        terms: &Terms<'_>,
    ) -> Result<Opened, ProxyError> {
        let now = Instant::now();
        let http1 = self.http1_until.get().is_some_and(|until| now < until);
        if terms.speak == Speak::Http1 || terms.speak == Speak::Either && http1 {
            let connection = ServerConnection::open(at, timeout, terms).await?;
            return Ok(Opened::new(connection.into()));
        }
        if let Some(connection) = self.await_opening(now + timeout, terms).await? {
            return Ok(Opened {
                connection,
                is_new: false,
            });
        }
        let opening = Opening::begin(self);
        let connection = ServerConnection::open(at, timeout, terms).await?;
        let http2 = connection.stream.tls().is_none_or(|tls| tls.http2);
        let connection = if http2 {
            self.share(worker, connection)?
        } else {
            self.http1_until.set(Some(now + HTTP1_FOR));
            connection.into()
        };
        drop(opening);
        Ok(Opened::new(connection))
    }

    /// Waits for as long as others open connections that are of use.
    async fn await_opening(
        &self,
        until: Instant,
        terms: &Terms<'_>,
    ) -> Result<Option<ServerConnection>, ProxyError> {
        loop {
            let opening = self.opening.borrow().clone();
            let Some(opening) = opening else {
                return Ok(None);
            };
            let told = timeout_at(until, opening.notified()).await;
            told.map_err(|_| ProxyError::ConnectTimeout)?;
            if let Some(connection) = self.take(terms) {
                return Ok(Some(connection));
            }
            if !self.list.borrow().iter().any(|shared| shared.fits(terms)) {
                return Ok(None);
            }
        }
    }

    /// Begins to share a connection: its first stream.
    fn share(
        &self,
        worker: &Rc<Worker>,
        connection: ServerConnection<ServerSocket>,
    ) -> Result<ServerConnection, ProxyError> {
        let ServerConnection {
            stream,
            buffer: _,
            opened,
            reused: _,
            tls,
            host,
        } = connection;
        let shared = Shared {
            session: driver::start(worker, stream),
            tls,
            host,
            opened,
            latest: (0, opened),
        };
        let stream = shared.stream();
        self.list.borrow_mut().push(shared);
        stream.ok_or_else(|| ProxyError::ServerGone(std::io::ErrorKind::ConnectionReset.into()))
    }

    /// Ends what has been idle for too long, is too old, or was opened on other terms; what is under
    /// way comes to its end.
    pub(super) fn sweep(&self, keeping: &Keeping, now: Instant) {
        self.list
            .borrow_mut()
            .retain_mut(|shared| shared.is_kept(keeping, now));
    }

    /// No request begins on them any more.
    pub(super) fn leave(&self) {
        for shared in self.list.borrow_mut().drain(..) {
            shared.session.leave();
        }
    }
}

impl Shared {
    fn fits(&self, terms: &Terms<'_>) -> bool {
        !self.session.is_leaving()
            && self.tls == terms.tls_id()
            && self.host.as_deref() == terms.host
    }

    fn stream(&self) -> Option<ServerConnection> {
        Some(ServerConnection {
            reused: self.session.last_begun() > 0,
            stream: ServerStream::Http2(Channel::to_server(&self.session)?),
            buffer: Buffer::default(),
            opened: self.opened,
            tls: self.tls,
            host: None,
        })
    }

    fn is_kept(&mut self, keeping: &Keeping, now: Instant) -> bool {
        let latest = self.session.last_begun();
        if !self.session.is_unused() || latest != self.latest.0 {
            self.latest = (latest, now);
        }
        let idle = now.saturating_duration_since(self.latest.1);
        let idle_max = if keeping.count_max > 0 {
            keeping.idle_timeout
        } else {
            Duration::ZERO
        };
        let unused = self.session.is_unused() && idle >= idle_max;
        let old = now.saturating_duration_since(self.opened) >= keeping.age_max;
        if unused || old || self.tls != keeping.tls || !keeping.http2 {
            self.session.leave();
        }
        !self.session.is_leaving()
    }
}

impl Opened {
    fn new(connection: ServerConnection) -> Self {
        Self {
            connection,
            is_new: true,
        }
    }
}

/// Tells those who wait when a connection is open, or has failed to be.
struct Opening<'a> {
    shared: &'a SharedConnections,
    told: Rc<Notify>,
}

impl<'a> Opening<'a> {
    fn begin(shared: &'a SharedConnections) -> Self {
        let told = Rc::new(Notify::new());
        shared.opening.replace(Some(Rc::clone(&told)));
        Self { shared, told }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut opening = self.shared.opening.borrow_mut();
        // Another request may have begun to open one as well.
        if opening
            .as_ref()
            .is_some_and(|told| Rc::ptr_eq(told, &self.told))
        {
            *opening = None;
        }
        self.told.notify_waiters();
    }
}
