//! Sockets that listen, and how they come to be.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_model::value::Name;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use super::datagram::bind_datagram_beside;

/// How many connections the kernel may hold for us; it lowers this to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Where listening sockets come from: the process itself, or one that keeps them while workers come
/// and go.
pub trait Sockets: Send + Sync {
    /// Listening sockets for a virtual service, as many as asked for, all on one port
    /// (`SO_REUSEPORT`) and non-blocking. An address with port 0 takes a free one.
    ///
    /// # Errors
    /// What the system said.
    fn listen(
        &self,
        service: &Name,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<TcpListener>>;

    /// What `listen` gave for this virtual service and address is no longer used. A virtual service
    /// that has taken an address over from another one uses what was given for that.
    fn release(&self, service: &Name, address: SocketAddr);

    /// Sockets for datagrams (UDP) of a virtual service, otherwise as [`listen`](Self::listen).
    ///
    /// # Errors
    /// What the system said.
    fn listen_datagram(
        &self,
        service: &Name,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<UdpSocket>>;

    /// What `listen_datagram` gave is no longer used.
    fn release_datagram(&self, service: &Name, address: SocketAddr);

    /// A folder in which processes that have the same sockets for datagrams, one after the other, meet to
    /// pass on what is for another of them; nothing when there is never more than one. It belongs to the
    /// balancer alone.
    fn relay_folder(&self) -> Option<PathBuf> {
        None
    }
}

/// Sockets of this process.
#[derive(Debug, Default)]
pub struct OwnSockets {
    bound: Mutex<Vec<SocketAddr>>,
    datagram: Mutex<Vec<SocketAddr>>,
}

/// A virtual service whose address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("virtual service `{service}` cannot listen on {address}{}", kind.suffix())]
pub struct BindError {
    /// The virtual service.
    pub service: Name,
    /// Its address.
    pub address: SocketAddr,
    /// What comes there.
    pub kind: SocketKind,
    /// What the system said.
    pub source: io::Error,
}

/// What comes to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketKind {
    /// Connections (TCP).
    Stream,
    /// Datagrams (UDP), which carry the connections of QUIC.
    Datagram,
}

impl SocketKind {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Stream => "",
            Self::Datagram => " over UDP, which HTTP/3 needs",
        }
    }
}

/// The sockets of one address, one for each worker. When nobody uses them any more they are released.
pub(crate) struct Bound {
    /// The virtual service for which they were bound.
    service: Name,
    /// The address that was asked for.
    asked: SocketAddr,
    /// The address that was bound, with its real port.
    local: SocketAddr,
    kind: SocketKind,
    /// Each worker takes its own when it begins to accept.
    free: Mutex<Vec<Option<Free>>>,
    interest: Mutex<Interest>,
    sockets: Arc<dyn Sockets>,
}

/// A socket that no worker has taken yet.
pub(super) enum Free {
    Stream(TcpListener),
    Datagram(UdpSocket),
}

/// Who wants sockets to stay open.
#[derive(Debug, Default)]
struct Interest {
    holds: usize,
    /// Nobody wanted them, and a worker has begun to close.
    ended: bool,
}

/// A configuration, in force or prepared, that needs sockets: they stay open.
pub(crate) struct Hold(Arc<Bound>);

impl Sockets for OwnSockets {
    fn listen(&self, _: &Name, address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
        beside(&self.bound, address, |ours| {
            bind_beside(address, count, ours)
        })
    }

    fn release(&self, _: &Name, address: SocketAddr) {
        forget(&self.bound, address);
    }

    fn listen_datagram(
        &self,
        _: &Name,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<UdpSocket>> {
        beside(&self.datagram, address, |ours| {
            bind_datagram_beside(address, count, ours)
        })
    }

    fn release_datagram(&self, _: &Name, address: SocketAddr) {
        forget(&self.datagram, address);
    }
}

/// Binds beside those that are bound, and remembers it.
fn beside<T>(
    bound: &Mutex<Vec<SocketAddr>>,
    address: SocketAddr,
    bind: impl FnOnce(&[SocketAddr]) -> io::Result<Vec<T>>,
) -> io::Result<Vec<T>> {
    let mut bound = locked(bound);
    // The same address again is one that is being closed: the system says when it is.
    let others: Vec<_> = bound.iter().copied().filter(|a| *a != address).collect();
    let sockets = bind(&others)?;
    bound.push(address);
    Ok(sockets)
}

fn forget(bound: &Mutex<Vec<SocketAddr>>, address: SocketAddr) {
    let mut bound = locked(bound);
    if let Some(found) = bound.iter().position(|other| *other == address) {
        bound.swap_remove(found);
    }
}

/// Binds sockets to one address. All have the same port, also when the address asks for a free one.
///
/// # Errors
/// What the system said; also that another program listens there, however it does.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    bind_beside(address, count, &[])
}

/// Binds sockets to one address, when some are bound already that are ours: a change may go from one
/// address to all addresses, or back, or to more sockets, while the old ones are still in use.
///
/// # Errors
/// What the system said; also that another program listens there, however it does.
pub fn bind_beside(
    address: SocketAddr,
    count: usize,
    ours: &[SocketAddr],
) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    if !ours.iter().any(|other| overlaps(address, *other)) {
        // With SO_REUSEPORT the kernel would let us share the port with another program that sets it
        // too, and clients would reach one or the other. A socket without it finds out.
        let probe = open(address, false)?;
        address = probe.local_addr()?;
    }
    (0..count).map(|_| open(address, true)).collect()
}

/// Whether sockets at both addresses could get the same.
pub(super) fn overlaps(address: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = other.ip().is_unspecified() || address.ip().is_unspecified();
    let same_kind = other.is_ipv4() == address.is_ipv4();
    let overlaps = everywhere || other.ip() == address.ip();
    address.port() != 0 && other.port() == address.port() && same_kind && overlaps
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
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

impl Bound {
    pub(crate) fn listen(
        sockets: &Arc<dyn Sockets>,
        service: &Name,
        address: SocketAddr,
        kind: SocketKind,
        workers: usize,
    ) -> Result<Arc<Self>, BindError> {
        let failed = |source| BindError {
            service: service.clone(),
            address,
            kind,
            source,
        };
        let free: Vec<Free> = match kind {
            SocketKind::Stream => {
                let free = sockets.listen(service, address, workers).map_err(failed)?;
                free.into_iter().map(Free::Stream).collect()
            }
            SocketKind::Datagram => {
                let free = sockets.listen_datagram(service, address, workers);
                let free = free.map_err(failed)?;
                free.into_iter().map(Free::Datagram).collect()
            }
        };
        let too_few = || failed(io::ErrorKind::NotConnected.into());
        if free.len() < workers {
            return Err(too_few());
        }
        let first = free.first().ok_or_else(too_few)?;
        Ok(Arc::new(Self {
            service: service.clone(),
            asked: address,
            local: first.local_addr().map_err(failed)?,
            kind,
            free: Mutex::new(free.into_iter().map(Some).collect()),
            interest: Mutex::default(),
            sockets: Arc::clone(sockets),
        }))
    }

    /// The address that was bound, with its real port.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether these are what a virtual service with this address listens on. An address may go from
    /// one virtual service to another; one with a free port was found for one alone.
    pub(crate) fn serves(&self, service: &Name, address: SocketAddr, kind: SocketKind) -> bool {
        self.kind == kind
            && self.asked == address
            && (address.port() != 0 || self.service == *service)
    }

    /// Where datagrams for other processes are passed on.
    pub(super) fn relay_folder(&self) -> Option<PathBuf> {
        self.sockets.relay_folder()
    }

    /// What comes to it.
    pub(crate) const fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Keeps the sockets open; nothing when they are being closed.
    pub(crate) fn hold(self: &Arc<Self>) -> Option<Hold> {
        let mut interest = locked(&self.interest);
        if interest.ended {
            return None;
        }
        interest.holds += 1;
        Some(Hold(Arc::clone(self)))
    }

    /// Whether the sockets are being closed.
    pub(crate) fn is_ended(&self) -> bool {
        locked(&self.interest).ended
    }

    /// Whether a worker may close its socket: it may when no configuration needs it, and then all
    /// do.
    pub(super) fn end(&self) -> bool {
        let mut interest = locked(&self.interest);
        interest.ended |= interest.holds == 0;
        interest.ended
    }

    /// The socket of a worker, once.
    pub(super) fn take(&self, worker: usize) -> Option<Free> {
        locked(&self.free).get_mut(worker)?.take()
    }
}

impl Free {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Stream(socket) => socket.local_addr(),
            Self::Datagram(socket) => socket.local_addr(),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        locked(&self.free).clear();
        match self.kind {
            SocketKind::Stream => self.sockets.release(&self.service, self.asked),
            SocketKind::Datagram => self.sockets.release_datagram(&self.service, self.asked),
        }
    }
}

impl Hold {
    /// What is held.
    pub(crate) const fn bound(&self) -> &Arc<Bound> {
        &self.0
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        locked(&self.0.interest).holds += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        locked(&self.0.interest).holds -= 1;
    }
}

/// Has the kernel answer no further attempts to connect, while those that have begun complete. Whoever
/// tries is refused once the socket is closed, and until then left to try again, but not accepted and
/// then reset.
pub(super) fn shut_off(listener: impl AsFd) {
    // Classic BPF over the TCP header: byte 13 holds the flags; a segment with SYN and without ACK is
    // dropped.
    const FILTER: [SockFilter; 5] = [
        SockFilter::new(0x30, 0, 0, 13),       // load byte 13
        SockFilter::new(0x54, 0, 0, 0x12),     // of that SYN and ACK
        SockFilter::new(0x15, 0, 1, 0x02),     // if it is SYN alone:
        SockFilter::new(0x06, 0, 0, 0),        // drop
        SockFilter::new(0x06, 0, 0, u32::MAX), // else pass
    ];
    if let Err(error) = SockRef::from(&listener).attach_filter(&FILTER) {
        tracing::debug!(%error, "a listener that closes cannot be shut off first");
    }
}

/// Takes back what [`shut_off`] has done, if it has.
pub(super) fn open_again(listener: impl AsFd) {
    if let Err(error) = SockRef::from(&listener).detach_filter()
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "a listener stays shut off");
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
