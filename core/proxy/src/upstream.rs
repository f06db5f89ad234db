//! Our connections to servers: opened with a deadline, kept per core, and given away only once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use lb_model::config::{PrivateConnections, Reuse};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::error::ProxyError;
use crate::pool::LocalPool;

mod idle;

pub(crate) use idle::IdleConnections;

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct ServerConnection {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Buffer,
    pub(crate) opened: Instant,
    /// Whether it has carried an exchange before: the server may then close it at any moment.
    pub(crate) reused: bool,
}

/// What one worker holds of one pool.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) local: LocalPool,
    pub(crate) idle: IdleConnections,
    pub(crate) private: PrivateConnections,
}

impl Upstream {
    pub(crate) fn new(local: LocalPool) -> Self {
        let Reuse {
            idle_max,
            idle_timeout,
            age_max,
            private,
        } = local.pool().reuse();
        let servers = local.pool().servers().len();
        let idle = IdleConnections::new(
            servers,
            usize::from(*idle_max),
            idle_timeout.duration(),
            age_max.duration(),
        );
        let private = *private;
        Self {
            local,
            idle,
            private,
        }
    }
}

impl ServerConnection {
    /// Opens a connection.
    pub(crate) async fn open(address: SocketAddr, timeout: Duration) -> Result<Self, ProxyError> {
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ProxyError::Connect(error)),
            Err(_) => return Err(ProxyError::ConnectTimeout),
        };
        // Without this a request in two pieces waits for an acknowledgement. A failure only costs
        // latency.
        drop(stream.set_nodelay(true));
        Ok(Self {
            stream,
            buffer: Buffer::default(),
            opened: Instant::now(),
            reused: false,
        })
    }

    /// Whether the server has closed the connection, or sent bytes that nobody asked for.
    pub(crate) fn is_stale(&self) -> bool {
        // Readiness is known from the event loop, so a healthy connection costs no system call here.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if self.stream.poll_read_ready(&mut cx).is_pending() {
            return false;
        }
        let mut byte = [0];
        let outcome = self.stream.try_read(&mut byte);
        !matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
