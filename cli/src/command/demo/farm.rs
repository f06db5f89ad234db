//! Three small web servers that keep sessions in their memory, as many applications do: a client
//! that comes to another server is a stranger there.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};

use self::site::Site;

mod site;

/// The most connections to one server.
const CONNECTIONS_MAX: usize = 1024;

/// How long an idle connection is kept; longer than the balancer does, as it should be.
const IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// How long to wait when the system refuses another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one server has done.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) name: &'static str,
    requests: AtomicU64,
}

impl Tally {
    /// Pages served; health checks do not count.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// The web servers, on a thread of their own.
#[derive(Debug)]
pub(super) struct Farm {
    servers: Vec<(Arc<Tally>, SocketAddr)>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Farm {
    /// Starts a server for each name, on loopback ports that are free.
    pub(super) fn start(names: &[&'static str]) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut servers = Vec::new();
        for name in names {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            let address = listener.local_addr()?;
            let tally = Arc::new(Tally {
                name,
                requests: AtomicU64::new(0),
            });
            runtime.spawn(serve(listener, Arc::new(Site::new(Arc::clone(&tally)))));
            servers.push((tally, address));
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("web-servers".to_owned())
            .spawn(move || {
                // An error means that the farm is gone: the same as being told.
                drop(runtime.block_on(stopped));
            })?;
        Ok(Self {
            servers,
            stop,
            thread,
        })
    }

    /// Where each server is.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.servers
            .iter()
            .map(|(tally, address)| (tally.name, *address))
    }

    /// What each server has done.
    pub(super) fn tallies(&self) -> Vec<Arc<Tally>> {
        self.servers
            .iter()
            .map(|(tally, _)| Arc::clone(tally))
            .collect()
    }

    /// Ends the servers.
    pub(super) fn stop(self) {
        drop(self.stop);
        drop(self.thread.join());
    }
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    converse(stream, site).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let response = site.answer(request.uri().path(), request.headers());
        async move { Ok::<_, Infallible>(response.map(|text| Full::new(Bytes::from(text)))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // The balancer closes connections as it likes.
    drop(connection.await);
}
