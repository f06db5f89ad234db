//! TLS that is passed through: what the client says first decides where it goes, and nothing is
//! decrypted.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::tcp::{self, Beginning};
use crate::buffer::{Buffer, BufferPool};
use crate::error::ProxyError;
use crate::snapshot::LiveService;
use crate::stream::Client;
use crate::telemetry::HandshakeFailure;
use crate::tls::{self, ClientHello, NotHello, UNRECOGNIZED_NAME};
use crate::worker::Worker;

/// The alert `internal_error` (RFC 8446 section 6.2), in the open: there is no server.
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
/// The alert `decode_error`.
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// Why nothing is known of what a client wants.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error("the connection ended before the client's first message was complete")]
    Gone(#[source] io::Error),
    #[error("the client's first message was not complete in time")]
    Timeout,
    #[error(transparent)]
    NotHello(#[from] NotHello),
}

/// Serves one client connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    mut client: Client<TcpStream>,
) {
    let until = Instant::now() + live.look(|service| service.timeouts.header.duration());
    let mut buffer = Buffer::default();
    let hearing = hear(&mut client.stream, &worker.buffers, &mut buffer);
    let heard = timeout_at(until, hearing).await;
    let count = |reason: HandshakeFailure| {
        let counters = live.counters(worker.index);
        if let Some(counter) = counters.handshake_failures.get(reason as usize) {
            counter.add(1);
        }
    };
    let hello = match heard.unwrap_or(Err(Unheard::Timeout)) {
        Ok(hello) => hello,
        Err(error) => {
            count(error.reason());
            let (service, peer) = (&live.state.name, client.peer);
            tracing::debug!(%service, %peer, reason = error.reason().word(), %error, "no TLS");
            if matches!(
                error,
                Unheard::NotHello(NotHello::Malformed(_) | NotHello::TooLong)
            ) {
                tls::say(&client.stream, &DECODE_ERROR);
            }
            forget(&mut buffer, &worker.buffers);
            return;
        }
    };
    let beginning = Beginning {
        buffer,
        hello: Some(hello),
    };
    let refused = tcp::relay(&worker, &live, &mut client, beginning).await;
    match refused {
        None => {}
        Some(ProxyError::UnknownHost) => {
            count(HandshakeFailure::UnknownHost);
            tls::say(&client.stream, &UNRECOGNIZED_NAME);
        }
        Some(_) => tls::say(&client.stream, &INTERNAL_ERROR),
    }
}

/// Reads until the first message is complete; what was read stays in the buffer for the server.
async fn hear(
    stream: &mut TcpStream,
    buffers: &BufferPool,
    buffer: &mut Buffer,
) -> Result<ClientHello, Unheard> {
    // Waiting costs no memory.
    stream.readable().await.map_err(Unheard::Gone)?;
    buffers.lend(buffer);
    loop {
        let filled = poll_fn(|cx| buffer.poll_fill(cx, stream)).await;
        if filled.map_err(Unheard::Gone)? == 0 {
            return Err(Unheard::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(hello) = ClientHello::parse(buffer.bytes())? {
            return Ok(hello);
        }
    }
}

/// Gives back the memory of what nobody wants.
fn forget(buffer: &mut Buffer, buffers: &BufferPool) {
    buffer.consume(buffer.len());
    buffers.reclaim(buffer);
}

impl Unheard {
    fn reason(&self) -> HandshakeFailure {
        match self {
            Self::Gone(_) => HandshakeFailure::ClientGone,
            Self::Timeout => HandshakeFailure::Timeout,
            Self::NotHello(NotHello::NotTls) => HandshakeFailure::NotTls,
            Self::NotHello(NotHello::Malformed(_) | NotHello::TooLong) => {
                HandshakeFailure::Protocol
            }
        }
    }
}
