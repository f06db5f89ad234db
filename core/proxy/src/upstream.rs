//! Our connections to servers: opened with a deadline, kept per core, and given away only once.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lb_model::config::{PrivateConnections, Reuse, ServerState};
use lb_model::value::Name;
use rustc_hash::FxHashSet;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::disposal::Disposal;
use crate::error::ProxyError;
use crate::pool::{LocalPool, Pool, ServerIndex};
use crate::stream::Stream as _;
use crate::tls::{HandshakeError, ServersTls, Speak};
use crate::worker::Worker;

mod driver;
mod idle;
mod shared;
mod stream;

pub(crate) use idle::IdleConnections;
use idle::Keeping;
pub(crate) use shared::Opened;
use shared::SharedConnections;
pub(crate) use stream::{ServerSocket, ServerStream};

/// One connection to a server, or a stream of one.
#[derive(Debug)]
pub(crate) struct ServerConnection<S = ServerStream> {
    pub(crate) stream: S,
    pub(crate) buffer: Buffer,
    pub(crate) opened: Instant,
    /// Whether it has carried an exchange before: the server may then close it at any moment.
    pub(crate) reused: bool,
    /// Which TLS it was opened with; 0 for none.
    tls: u64,
    /// The host that the server was asked for, where clients decide that.
    host: Option<Box<str>>,
}

/// How servers are spoken with for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    tls: Option<&'a Arc<ServersTls>>,
    /// The host that the client asked for, where that matters.
    host: Option<&'a str>,
    speak: Speak,
}

/// What one worker holds of one configuration of a pool.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) local: LocalPool,
    pub(crate) private: PrivateConnections,
    keeping: Keeping,
    servers: Box<[Rc<LocalServer>]>,
    disposal: Disposal,
}

/// What one worker holds of a server, from its first configuration to its last.
#[derive(Debug, Default)]
pub(crate) struct LocalServer {
    idle: IdleConnections,
    shared: SharedConnections,
    /// Whether connections to it may wait for the next request; not before a configuration that has it
    /// is entered.
    open: Cell<bool>,
}

/// What becomes of the servers of a pool in its next configuration. It is found out once for all
/// workers.
#[derive(Debug)]
pub(crate) struct Heirs {
    /// For each server of the next configuration the one that it was, and none for a new one.
    carried: Box<[Option<ServerIndex>]>,
    /// Servers of the former configuration to which connections do not wait any longer.
    closed: Box<[ServerIndex]>,
    /// Servers of the next one to which they begin to.
    opened: Box<[ServerIndex]>,
    /// Whether going over takes more than exchanging one for the other.
    matters: bool,
}

impl Upstream {
    /// A configuration of a pool, with those servers of the `previous` one that go on. It shares their
    /// idle connections and takes no effect before [`Upstream::enter`].
    pub(crate) fn new(
        local: LocalPool,
        previous: Option<&Self>,
        heirs: &Heirs,
        disposal: Disposal,
    ) -> Self {
        let Reuse {
            idle_max,
            idle_timeout,
            age_max,
            private,
        } = local.pool().reuse();
        let former = |position: usize| {
            let index = (*heirs.carried.get(position)?)?;
            previous?.servers.get(index.position()).cloned()
        };
        let new = || Rc::new(LocalServer::default());
        if let Some(previous) = previous {
            local.inherit(&previous.local);
        }
        let servers = 0..local.pool().servers().len();
        Self {
            private: *private,
            keeping: Keeping {
                count_max: usize::from(*idle_max),
                idle_timeout: idle_timeout.duration(),
                age_max: age_max.duration(),
                tls: local.pool().tls().map_or(0, |tls| tls.id()),
                http2: local.pool().speak() != Speak::Http1,
            },
            servers: servers
                .map(|position| former(position).unwrap_or_else(new))
                .collect(),
            local,
            disposal,
        }
    }

    /// The worker goes over to this configuration. Servers of the `previous` one whose connections must
    /// not wait any longer are added to `closed`; what they have in progress finishes.
    pub(crate) fn enter(
        &self,
        previous: Option<&Self>,
        heirs: &Heirs,
        closed: &mut Vec<Rc<LocalServer>>,
    ) {
        if !heirs.matters {
            return;
        }
        self.local.enter();
        if let Some(previous) = previous {
            let gone = heirs.closed.iter();
            let gone = gone.filter_map(|index| previous.servers.get(index.position()));
            gone.for_each(|server| server.close(closed));
        }
        let opened = heirs.opened.iter();
        let opened = opened.filter_map(|index| self.servers.get(index.position()));
        opened.for_each(|server| server.open.set(true));
    }

    /// The pool is in no configuration any more: no connection to its servers waits any longer.
    pub(crate) fn leave(&self, closed: &mut Vec<Rc<LocalServer>>) {
        self.servers.iter().for_each(|server| server.close(closed));
    }

    /// A connection to a server that is believed to be open, or a stream of one.
    pub(crate) fn take_idle(
        &self,
        server: ServerIndex,
        terms: &Terms<'_>,
    ) -> Option<ServerConnection> {
        let local = self.servers.get(server.position())?;
        match terms.speak {
            Speak::Http1 => local.idle.take(terms).map(Into::into),
            Speak::Either => local
                .shared
                .take(terms)
                .or_else(|| local.idle.take(terms).map(Into::into)),
            Speak::Http2 => local.shared.take(terms),
        }
    }

    /// Opens a connection to a server.
    pub(crate) async fn open(
        &self,
        worker: &Rc<Worker>,
        server: ServerIndex,
        terms: &Terms<'_>,
    ) -> Result<Opened, ProxyError> {
        let pool = self.local.pool();
        let timeout = pool.connect_timeout();
        let at = (pool.server(server).name(), pool.server(server).address());
        match self.servers.get(server.position()) {
            Some(local) => local.shared.open(worker, at, timeout, terms).await,
            // A lease is for a server that is there.
            None => Err(ProxyError::Unavailable),
        }
    }

    /// Keeps a connection whose last exchange is complete, unless it is too old, there are enough, or
    /// the server is to get no more requests.
    pub(crate) fn put_idle(&self, server: ServerIndex, connection: ServerConnection, now: Instant) {
        if let Some(local) = self.servers.get(server.position())
            && local.open.get()
            && let Some(connection) = connection.into_alone()
        {
            local.idle.put(&self.keeping, connection, now);
        }
    }

    /// Closes what has been idle for too long, is too old, is too much, or was closed by its server.
    pub(crate) fn sweep(&self, now: Instant) {
        for local in &self.servers {
            local.idle.sweep(&self.keeping, now);
            local.shared.sweep(&self.keeping, now);
        }
    }

    /// Whether connections are kept at all.
    pub(crate) const fn keeps(&self) -> bool {
        self.keeping.count_max > 0
    }

    /// What outlives this configuration of a server.
    pub(crate) fn local_server(&self, server: ServerIndex) -> Option<&Rc<LocalServer>> {
        self.servers.get(server.position())
    }

    /// Where a server stands in this configuration, if it does. It stood at `before` in another one.
    pub(crate) fn position(
        &self,
        server: &Rc<LocalServer>,
        before: ServerIndex,
    ) -> Option<ServerIndex> {
        let same = |local: &Rc<LocalServer>| Rc::ptr_eq(local, server);
        if self.servers.get(before.position()).is_some_and(same) {
            return Some(before);
        }
        self.servers.iter().position(same).map(ServerIndex::new)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // Of the last configuration that uses it, a pool is much to take apart.
        self.disposal.dispose(Arc::clone(self.local.pool()));
    }
}

impl Heirs {
    /// What becomes of the servers of a pool in its next configuration; with none before, of the
    /// first.
    pub(crate) fn of(pool: &Pool, previous: Option<&Pool>) -> Self {
        let carried = previous.map(|previous| pool.carried(previous));
        let carried = carried.unwrap_or_default();
        let mut closed: FxHashSet<ServerIndex> =
            previous.map(open_servers).into_iter().flatten().collect();
        let mut opened = Vec::new();
        for index in open_servers(pool) {
            let before = carried.get(index.position()).copied().flatten();
            if !before.is_some_and(|before| closed.remove(&before)) {
                opened.push(index);
            }
        }
        let limits_as_before = previous.is_some_and(|previous| previous.limits() == pool.limits());
        Self {
            matters: !(limits_as_before && closed.is_empty() && opened.is_empty()),
            carried,
            closed: closed.into_iter().collect(),
            opened: opened.into(),
        }
    }
}

/// The servers to which connections may wait for the next request.
fn open_servers(pool: &Pool) -> impl Iterator<Item = ServerIndex> {
    let servers = (0..).map(ServerIndex::new).zip(pool.servers());
    servers
        .filter(|(_, server)| server.administrative() != ServerState::Disabled)
        .map(|(index, _)| index)
}

impl LocalServer {
    fn close(self: &Rc<Self>, closed: &mut Vec<Rc<Self>>) {
        if self.open.replace(false) {
            closed.push(Rc::clone(self));
        }
    }

    /// Whether connections to it may wait for the next request.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Has all idle connections closed elsewhere; those that are shared when nobody needs them any more.
    pub(crate) fn close_idle(&self, disposal: &Disposal) {
        self.shared.leave();
        let idle = self.idle.take_all();
        if !idle.is_empty() {
            disposal.dispose(idle);
        }
    }
}

impl<'a> Terms<'a> {
    /// How servers of a pool are spoken with for a client that asked for this host.
    pub(crate) fn of(pool: &'a Pool, speak: Speak, host: impl FnOnce() -> Option<&'a str>) -> Self {
        let tls = pool.tls();
        let follows = tls.is_some_and(|tls| tls.follows_client());
        Self {
            tls,
            host: if follows { host() } else { None },
            speak,
        }
    }

    fn tls_id(&self) -> u64 {
        self.tls.map_or(0, |tls| tls.id())
    }
}

impl<S> ServerConnection<S> {
    fn map<T>(self, change: impl FnOnce(S) -> T) -> ServerConnection<T> {
        let Self {
            stream,
            buffer,
            opened,
            reused,
            tls,
            host,
        } = self;
        ServerConnection {
            stream: change(stream),
            buffer,
            opened,
            reused,
            tls,
            host,
        }
    }

    /// Whether it was opened on the same terms.
    pub(crate) fn fits(&self, terms: &Terms<'_>) -> bool {
        self.tls == terms.tls_id() && self.host.as_deref() == terms.host
    }
}

impl ServerConnection {
    /// Whether it is one stream of a connection that others use as well.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.stream, ServerStream::Http2(_))
    }

    /// The server has left a request without an answer: if the connection is shared, no further
    /// ones begin on it.
    pub(crate) fn distrust(&self) {
        match &self.stream {
            ServerStream::Http2(channel) => channel.leave(),
            ServerStream::Socket(_) => {}
        }
    }

    /// The connection, unless others use it as well.
    pub(crate) fn into_alone(self) -> Option<ServerConnection<ServerSocket>> {
        let Self {
            stream,
            buffer,
            opened,
            reused,
            tls,
            host,
        } = self;
        match stream {
            ServerStream::Socket(stream) => Some(ServerConnection {
                stream,
                buffer,
                opened,
                reused,
                tls,
                host,
            }),
            ServerStream::Http2(_) => None,
        }
    }
}

impl From<ServerConnection<ServerSocket>> for ServerConnection {
    fn from(connection: ServerConnection<ServerSocket>) -> Self {
        connection.map(ServerStream::Socket)
    }
}

impl ServerConnection<ServerSocket> {
    /// Opens a connection.
    pub(crate) async fn open(
        (name, address): (&Name, SocketAddr),
        timeout: Duration,
        terms: &Terms<'_>,
    ) -> Result<Self, ProxyError> {
        let until = Instant::now() + timeout;
        let stream = match tokio::time::timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ProxyError::Connect(error)),
            Err(_) => return Err(ProxyError::ConnectTimeout),
        };
        // Without this a request in two pieces waits for an acknowledgement. A failure only costs
        // latency.
        drop(stream.set_nodelay(true));
        if terms.speak != Speak::Http1 {
            notice_loss(&stream);
        }
        let stream = match terms.tls {
            None => ServerSocket::Plain(stream),
            Some(tls) => tls
                .connect(stream, (name, address), (terms.host, terms.speak), until)
                .await
                .map(ServerSocket::Tls)
                .map_err(|error| {
                    if matches!(error, HandshakeError::Timeout) {
                        ProxyError::ConnectTimeout
                    } else {
                        ProxyError::Tls(error)
                    }
                })?,
        };
        Ok(Self {
            stream,
            buffer: Buffer::default(),
            opened: Instant::now(),
            reused: false,
            tls: terms.tls_id(),
            host: terms.host.map(Into::into),
        })
    }

    /// Whether the server has closed the connection, or sent bytes that nobody asked for.
    pub(crate) fn is_stale(&mut self) -> bool {
        // Readiness is known from the event loop, so a healthy connection costs no system call here.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let stream = match &mut self.stream {
            ServerSocket::Plain(stream) => stream,
            // What TLS itself has to say is read on the way, such as tickets for later.
            ServerSocket::Tls(stream) => return stream.poll_readable(&mut cx).is_ready(),
        };
        if stream.poll_read_ready(&mut cx).is_pending() {
            return false;
        }
        let mut byte = [0];
        let outcome = stream.try_read(&mut byte);
        !matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Lets TCP find out when the other machine is gone, as many requests depend on one connection. A PING
/// would say more, but servers of gRPC take those that come more often than every five minutes amiss.
fn notice_loss(stream: &TcpStream) {
    const SILENCE: Duration = Duration::from_secs(10);
    const BETWEEN: Duration = Duration::from_secs(5);
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(BETWEEN)
        .with_retries(2);
    // A failure only costs time when a machine is lost.
    drop(socket.set_tcp_keepalive(&keepalive));
    drop(socket.set_tcp_user_timeout(Some(SILENCE + 2 * BETWEEN)));
}
