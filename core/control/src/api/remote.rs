//! The API over the network: TLS and nothing else, on the thread of the API, with places of its own,
//! so that strangers keep nobody off the Unix socket.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_model::api::AdminStatus;
use lb_model::config::Admin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Observable;
use super::attempts::{Origin, origin};
use super::caller::{Certified, Peer};
use super::certificate::{CertificateError, Files, Identity, Stamp};
use super::connection::{ACCEPT_PAUSE, STOP_WITHIN, converse};
use super::serve::Service;
use super::stop::{self, Stop, Stopping};
use crate::Engine;

/// How long a client may take until both sides know each other.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the files of the certificate are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// The type of a TLS record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What somebody gets who does not speak TLS.
const NOT_TLS: &str =
    "this is the admin API of lbctl, which speaks HTTPS only: use https:// in the address\n";

/// The most that is read of what is no TLS, so that its sender gets to read why.
const NOT_TLS_BYTES_MAX: u64 = 64 << 10;

/// A socket that somebody lends.
pub trait Socket: Send + Sync {
    /// The socket. It is non-blocking.
    fn listener(&self) -> &StdTcpListener;
}

/// Where the API is served over the network.
pub struct Remote {
    socket: Arc<dyn Socket>,
    files: Files,
    identity: Mutex<(Stamp, Arc<Identity>)>,
    connections_max: usize,
}

/// Where the API is served over the network from now on, if anywhere.
pub type Place = Option<Arc<Remote>>;

impl Remote {
    /// Gets ready to serve on a socket, with the certificate that the document names.
    ///
    /// # Errors
    /// The certificate cannot be used.
    pub fn open(
        admin: &Admin,
        state_dir: &Path,
        socket: Arc<dyn Socket>,
    ) -> Result<Self, CertificateError> {
        let Admin {
            address: _,
            certificate,
            client_authorities,
            connections_max,
        } = admin;
        let address = socket.listener().local_addr();
        let address = address
            .unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
            .ip();
        let authorities = client_authorities.as_deref();
        let files = Files::of(certificate.as_ref(), authorities, state_dir, address)?;
        let stamp = files.stamp();
        let identity = Arc::new(files.load()?);
        let connections_max = usize::try_from(*connections_max).unwrap_or(usize::MAX);
        Ok(Self {
            socket,
            files,
            identity: Mutex::new((stamp, identity)),
            connections_max: connections_max.min(Semaphore::MAX_PERMITS),
        })
    }

    /// The socket.
    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }

    /// Where it listens, and how clients know it.
    pub fn status(&self) -> Option<AdminStatus> {
        Some(AdminStatus {
            address: self.socket.listener().local_addr().ok()?,
            fingerprint: self.lock().1.fingerprint,
            self_signed: self.files.is_own,
        })
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.lock().1.tls))
    }

    /// Takes a certificate that was renewed in its files. One that cannot be used changes nothing.
    fn look(&self) {
        let stamp = self.files.stamp();
        if self.lock().0 == stamp {
            return;
        }
        match self.files.load() {
            Ok(identity) => {
                let fingerprint = identity.fingerprint;
                let is_new = self.lock().1.fingerprint != fingerprint;
                *self.lock() = (stamp, Arc::new(identity));
                if is_new {
                    tracing::info!(%fingerprint, "the certificate of the admin API was renewed");
                }
            }
            Err(error) => {
                self.lock().0 = stamp;
                let help = error.help();
                tracing::error!(%error, help, "the former certificate of the admin API is kept");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Stamp, Arc<Identity>)> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves wherever the document in force says, until the API stops.
pub(super) async fn follow<E: Engine + Observable>(
    mut places: watch::Receiver<Place>,
    service: Arc<Service<E>>,
    mut stopping: Stopping,
) {
    // Every connection has a copy of `alive`.
    let (alive, mut last) = mpsc::channel(1);
    let mut former: Option<(Arc<Remote>, Stop, Stopping)> = None;
    loop {
        let remote = places.borrow_and_update().clone();
        former = remote.map(|remote| match former.take() {
            // On the same socket connections go on.
            Some((before, stop, told)) if Arc::ptr_eq(&before.socket, &remote.socket) => {
                (remote, stop, told)
            }
            Some(_) | None => {
                if let Some(AdminStatus {
                    address,
                    fingerprint,
                    ..
                }) = remote.status()
                {
                    tracing::info!(%address, %fingerprint, "the admin API is served over TLS");
                }
                let (stop, told) = stop::stop();
                (remote, stop, told)
            }
        });
        let serve = async {
            match &former {
                Some((remote, _, told)) => serve(remote, &service, told, &alive).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = places.changed() => if changed.is_err() { break },
            () = serve => {}
            () = stopping.wait() => break,
        }
    }
    drop((former, alive));
    if timeout(STOP_WITHIN, last.recv()).await.is_err() {
        tracing::warn!("some requests to the admin API are left without an answer");
    }
}

async fn serve<E: Engine + Observable>(
    remote: &Arc<Remote>,
    service: &Arc<Service<E>>,
    told: &Stopping,
    alive: &mpsc::Sender<()>,
) {
    let listener = match listener(remote) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin API cannot be served over the network");
            return std::future::pending().await;
        }
    };
    let places = Arc::new(Semaphore::new(remote.connections_max));
    let clients = Arc::new(Clients {
        each_max: (remote.connections_max / 4).max(1),
        held: Mutex::default(),
    });
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = look.tick() => {
                let remote = Arc::clone(remote);
                drop(tokio::task::spawn_blocking(move || remote.look()));
                continue;
            }
        };
        let (stream, address, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin API could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(client) = clients.admit(address) else {
            tracing::debug!(%address, "has too many connections to the admin API");
            continue;
        };
        let (acceptor, service) = (remote.acceptor(), Arc::clone(service));
        let (told, alive) = (told.clone(), alive.clone());
        tokio::spawn(async move {
            if let Some(stream) = handshake(stream, &acceptor).await {
                let shown = stream.get_ref().1.peer_certificates();
                let leaf = shown.and_then(|chain| chain.first());
                let peer = Peer::remote(address.ip(), leaf.map(Certified::of));
                converse(stream, peer, service, told).await;
            }
            drop((client, place, alive));
        });
    }
}

fn listener(remote: &Remote) -> io::Result<TcpListener> {
    TcpListener::from_std(remote.socket.listener().try_clone()?)
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, place))
}

/// Lets both sides know each other. Whoever does not speak TLS is told so.
async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    let begun = timeout(HANDSHAKE_TIMEOUT, async {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        if first == [HANDSHAKE_RECORD] {
            return acceptor.accept(stream).await.map(Some);
        }
        refuse(stream).await.map(|()| None)
    });
    match begun.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // A client that does not trust our certificate ends here too.
            tracing::debug!(%error, "a connection to the admin API ended before its first request");
            None
        }
        Err(_) => None,
    }
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let length = NOT_TLS.len();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(NOT_TLS.as_bytes()).await?;
    stream.shutdown().await?;
    // What is unread when a socket closes takes the answer with it.
    let mut rest = stream.take(NOT_TLS_BYTES_MAX);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// How many connections each client has: one alone must not have every place.
struct Clients {
    each_max: usize,
    held: Mutex<HashMap<Origin, usize>>,
}

/// A connection that counts until this is dropped.
struct Held {
    clients: Arc<Clients>,
    origin: Origin,
}

impl Clients {
    fn admit(self: &Arc<Self>, address: SocketAddr) -> Option<Held> {
        let origin = origin(address.ip());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(origin).or_default();
        if *count >= self.each_max {
            return None;
        }
        *count += 1;
        Some(Held {
            clients: Arc::clone(self),
            origin,
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = &self.clients.held;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_no_more_than_its_part_and_gets_it_back() {
        let clients = Arc::new(Clients {
            each_max: 2,
            held: Mutex::default(),
        });
        let admit = |text: &str| clients.admit(text.parse().unwrap());
        let (first, second) = (admit("192.0.2.1:1"), admit("192.0.2.1:2"));
        assert!(first.is_some() && second.is_some());
        assert!(admit("192.0.2.1:3").is_none());
        assert!(admit("192.0.2.2:1").is_some());
        drop(first);
        assert!(admit("192.0.2.1:3").is_some());
        drop(second);
        assert!(clients.held.lock().unwrap().is_empty());
    }
}
