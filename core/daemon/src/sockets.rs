//! Where listening sockets come from: this process, or the supervisor that keeps them while workers
//! come and go.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_model::value::Name;
use lb_proxy::{OwnSockets, SocketKind};
use lb_supervisor::Link;

/// What a socket is for, besides virtual services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Metrics.
    Metrics,
    /// The admin API over the network.
    Admin,
}

impl Purpose {
    /// What the supervisor calls it.
    fn text(self) -> String {
        match self {
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
        .to_owned()
    }
}

/// How long a former socket at the same address is waited for: it is closed by who accepts on it.
const CLOSING_MAX: Duration = Duration::from_millis(100);

/// Where listening sockets come from.
pub(crate) enum Sockets {
    /// This process binds them.
    Own(OwnSockets),
    /// The supervisor does.
    Lent(LentSockets),
}

/// Sockets of the supervisor.
pub(crate) struct LentSockets {
    link: Arc<Link>,
    /// Where this process meets the one before and the one after it.
    relay_folder: PathBuf,
    /// Those in use. The supervisor would give the same again, and the former user may be about to
    /// close it.
    lent: Mutex<BTreeSet<Lent>>,
}

/// What was asked for, and for what.
type Lent = (SocketKind, String, SocketAddr);

impl LentSockets {
    pub(crate) fn new(link: Arc<Link>, relay_folder: PathBuf) -> Self {
        Self {
            link,
            relay_folder,
            lent: Mutex::default(),
        }
    }

    fn listen(
        &self,
        purpose: String,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<TcpListener>> {
        self.lend(SocketKind::Stream, purpose, address, |purpose| {
            self.link.listen(purpose, address, count)
        })
    }

    fn listen_datagram(
        &self,
        purpose: String,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<UdpSocket>> {
        self.lend(SocketKind::Datagram, purpose, address, |purpose| {
            self.link.listen_datagram(purpose, address, count)
        })
    }

    fn lend<T>(
        &self,
        kind: SocketKind,
        purpose: String,
        address: SocketAddr,
        ask: impl FnOnce(&str) -> io::Result<Vec<T>>,
    ) -> io::Result<Vec<T>> {
        let key = key(kind, purpose, address);
        if locked(&self.lent).contains(&key) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let sockets = ask(&key.1)?;
        locked(&self.lent).insert(key);
        Ok(sockets)
    }

    fn release(&self, kind: SocketKind, purpose: String, address: SocketAddr) {
        let key = key(kind, purpose, address);
        // In this order: nobody may ask for it again before it is given back.
        match kind {
            SocketKind::Stream => self.link.release(&key.1, address),
            SocketKind::Datagram => self.link.release_datagram(&key.1, address),
        }
        locked(&self.lent).remove(&key);
    }
}

/// An address with a port is the same for whatever purpose.
fn key(kind: SocketKind, purpose: String, address: SocketAddr) -> Lent {
    let purpose = if address.port() == 0 {
        purpose
    } else {
        String::new()
    };
    (kind, purpose, address)
}

fn purpose(service: &Name) -> String {
    format!("virtual service {service}")
}

impl lb_proxy::Sockets for Sockets {
    fn listen(
        &self,
        service: &Name,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<TcpListener>> {
        match self {
            Self::Own(own) => own.listen(service, address, count),
            Self::Lent(lent) => lent.listen(purpose(service), address, count),
        }
    }

    fn release(&self, service: &Name, address: SocketAddr) {
        match self {
            Self::Own(own) => own.release(service, address),
            Self::Lent(lent) => lent.release(SocketKind::Stream, purpose(service), address),
        }
    }

    fn listen_datagram(
        &self,
        service: &Name,
        address: SocketAddr,
        count: usize,
    ) -> io::Result<Vec<UdpSocket>> {
        match self {
            Self::Own(own) => own.listen_datagram(service, address, count),
            Self::Lent(lent) => lent.listen_datagram(purpose(service), address, count),
        }
    }

    fn release_datagram(&self, service: &Name, address: SocketAddr) {
        match self {
            Self::Own(own) => own.release_datagram(service, address),
            Self::Lent(lent) => lent.release(SocketKind::Datagram, purpose(service), address),
        }
    }

    fn relay_folder(&self) -> Option<PathBuf> {
        match self {
            Self::Own(_) => None,
            Self::Lent(lent) => Some(lent.relay_folder.clone()),
        }
    }
}

impl Sockets {
    /// A socket for this.
    pub(crate) fn listen_for(
        self: &Arc<Self>,
        purpose: Purpose,
        address: SocketAddr,
    ) -> io::Result<Listening> {
        let until = Instant::now() + CLOSING_MAX;
        loop {
            match self.try_listen(purpose, address) {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                listener => {
                    return Ok(Listening {
                        listener: listener?,
                        purpose,
                        address,
                        sockets: Arc::clone(self),
                    });
                }
            }
        }
    }

    fn try_listen(&self, purpose: Purpose, address: SocketAddr) -> io::Result<TcpListener> {
        match self {
            Self::Own(_) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            }
            Self::Lent(lent) => {
                let sockets = lent.listen(purpose.text(), address, 1)?;
                let socket = sockets.into_iter().next();
                Ok(socket.ok_or(io::ErrorKind::NotConnected)?)
            }
        }
    }

    /// The socket of the admin API, when the supervisor keeps it.
    pub(crate) fn admin(&self, path: &Path) -> io::Result<Option<UnixListener>> {
        match self {
            Self::Own(_) => Ok(None),
            Self::Lent(lent) => lent.link.listen_unix(path).map(Some),
        }
    }

    /// The way to the supervisor, when there is one.
    pub(crate) const fn link(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Own(_) => None,
            Self::Lent(lent) => Some(&lent.link),
        }
    }
}

/// A socket, given back when this is dropped.
pub(crate) struct Listening {
    listener: TcpListener,
    purpose: Purpose,
    /// What was asked for.
    address: SocketAddr,
    sockets: Arc<Sockets>,
}

impl Listening {
    /// The socket.
    pub(crate) const fn listener(&self) -> &TcpListener {
        &self.listener
    }
}

impl lb_control::api::Socket for Listening {
    fn listener(&self) -> &TcpListener {
        &self.listener
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Sockets::Lent(lent) = &*self.sockets {
            lent.release(SocketKind::Stream, self.purpose.text(), self.address);
        }
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
