//! One accepted connection: what stands between the socket and the protocol that clients speak.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lb_model::config::Protocol;
use quinn::{Connecting, ConnectionError};
use rustls::{AlertDescription, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::buffer::Buffer;
use crate::protocol::{http, http2, http3, pass, tcp};
use crate::snapshot::{LiveService, Security};
use crate::stream::{Attendance, Client, Stream, TlsFacts};
use crate::telemetry::HandshakeFailure;
use crate::tls;
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
    let security = live.look(|service| match &service.security {
        Security::Plain | Security::Redirect => Some(None),
        Security::Tls(tls) => Some(Some(Arc::clone(&tls.config))),
        Security::Unusable => None,
    });
    let Some(security) = security else { return };
    let protocol = live.protocol();
    let client = Client {
        stream,
        peer: ends.peer,
        local: ends.local,
        attendance,
    };
    // On the heap: all others are larger than what an idle HTTP connection needs.
    match (protocol, security) {
        (_, Some(config)) => Box::pin(secure(worker, live, client, config)).await,
        (Protocol::Http, None) => http::serve(worker, live, client).await,
        (Protocol::Tcp, None) => Box::pin(tcp::serve(worker, live, client)).await,
        (Protocol::Tls, None) => Box::pin(pass::serve(worker, live, client)).await,
    }
}

/// Speaks TLS with the client first.
async fn secure(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    client: Client<TcpStream>,
    config: Arc<ServerConfig>,
) {
    let Client {
        stream,
        peer,
        local,
        attendance,
    } = client;
    // A request in two pieces would wait for an acknowledgement; a failure only costs latency.
    drop(stream.set_nodelay(true));
    let until = Instant::now() + live.look(|service| service.timeouts.header.duration());
    let counters = live.counters(worker.index);
    let stream = match Box::pin(tls::accept(stream, config, until)).await {
        Ok(stream) => stream,
        Err(error) => {
            let reason = error.reason();
            if let Some(counter) = counters.handshake_failures.get(reason as usize) {
                counter.add(1);
            }
            let service = &live.state.name;
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(%service, %peer, reason = reason.word(), %error, cause, "no TLS");
            return;
        }
    };
    counters.handshakes.add(1);
    if stream.tls().is_some_and(|tls| tls.resumed) {
        counters.handshakes_resumed.add(1);
    }
    if stream.tls().is_some_and(|tls| tls.challenge) {
        return;
    }
    let client = Client {
        stream,
        peer,
        local,
        attendance,
    };
    let http2 = client.stream.tls().is_some_and(|tls| tls.http2);
    match live.protocol() {
        Protocol::Http if http2 => http2::serve(worker, live, client, Buffer::default()).await,
        Protocol::Http => http::serve(worker, live, client).await,
        Protocol::Tcp | Protocol::Tls => tcp::serve(worker, live, client).await,
    }
}

/// Serves one connection of QUIC to its end. `handshake` is given back when that is over.
pub(crate) async fn serve_quic<T>(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    connecting: Connecting,
    ends: Ends,
    (attendance, handshake): (Rc<Attendance>, T),
) {
    let _open = Open::count(Rc::clone(&live), worker.index);
    let until = Instant::now() + live.look(|service| service.timeouts.header.duration());
    let outcome = timeout_at(until, connecting).await;
    drop(handshake);
    let connection = match outcome.unwrap_or(Err(ConnectionError::TimedOut)) {
        Ok(connection) => connection,
        Err(error) => return tell_no_quic(&worker, &live, ends, &error),
    };
    let counters = live.counters(worker.index);
    counters.handshakes.add(1);
    let facts = connection.handshake_data();
    let facts = facts.and_then(|facts| facts.downcast::<TlsFacts>().ok());
    if facts.as_ref().is_some_and(|tls| tls.resumed) {
        counters.handshakes_resumed.add(1);
    }
    let tls = facts.map(|facts| Arc::new(*facts));
    let session = http3::Session::new(connection, tls, (ends.peer, ends.local), attendance);
    http3::serve(worker, live, session).await;
}

/// Takes note that a connection of QUIC did not come about.
pub(crate) fn tell_no_quic(
    worker: &Worker,
    live: &LiveService,
    ends: Ends,
    error: &ConnectionError,
) {
    let reason = handshake_failure(error);
    let counters = live.counters(worker.index);
    if let Some(counter) = counters.handshake_failures.get(reason as usize) {
        counter.add(1);
    }
    let (service, peer) = (&live.state.name, ends.peer);
    tracing::debug!(%service, %peer, reason = reason.word(), %error, "no QUIC");
}

/// What kind of failure that is.
fn handshake_failure(error: &ConnectionError) -> HandshakeFailure {
    let code = match error {
        ConnectionError::TimedOut => return HandshakeFailure::Timeout,
        ConnectionError::ConnectionClosed(close) => {
            // A client that does not like our certificate, say, tells us so.
            return if alert(close.error_code).is_some() {
                HandshakeFailure::Alert
            } else {
                HandshakeFailure::ClientGone
            };
        }
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => {
            return HandshakeFailure::ClientGone;
        }
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::VersionMismatch
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => return HandshakeFailure::Protocol,
    };
    let Some(alert) = alert(code) else {
        return HandshakeFailure::Protocol;
    };
    tls::failure_of(alert)
}

/// The alert of TLS in a code of QUIC (RFC 9001 section 4.8).
fn alert(code: quinn::TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code).checked_sub(0x100)?;
    u8::try_from(code).ok().map(AlertDescription::from)
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
