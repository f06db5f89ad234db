//! Bytes in both directions that nobody looks at: TCP services and upgraded connections.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::buffer::{Buffer, BufferPool};
use crate::deadline::Deadline;
use crate::protocol::http::codec::{BodyDecoder, Framing};
use crate::protocol::transfer::{Encoding, Transfer, TransferError};
use crate::stream::Stream;

/// One side of a tunnel, with what was already read from it.
pub(crate) struct End<'a, S> {
    pub(crate) stream: &'a mut S,
    pub(crate) buffer: &'a mut Buffer,
}

/// What a tunnel has carried, and how it ended.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
    /// One word for the access log.
    pub(crate) end: &'static str,
}

/// One direction: passes bytes on, then the fact that there will be no more.
struct Direction {
    transfer: Transfer,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

/// Carries bytes until both sides have closed, one of them fails, or nothing moves for `idle`.
pub(crate) async fn run<A: Stream, B: Stream>(
    pool: &BufferPool,
    client: End<'_, A>,
    server: End<'_, B>,
    deadline: &mut Deadline,
    idle: Duration,
) -> Carried {
    let (mut up, mut down) = (Direction::new(), Direction::new());
    deadline.set(Instant::now() + idle);
    let end = poll_fn(|cx| {
        let before = up.transfer.sent_bytes + down.transfer.sent_bytes;
        let sent = up.poll(cx, pool, client.stream, client.buffer, server.stream);
        let received = down.poll(cx, pool, server.stream, server.buffer, client.stream);
        if let Poll::Ready(Err(end)) = sent {
            return Poll::Ready(if end.at_source {
                "client_gone"
            } else {
                "server_gone"
            });
        }
        if let Poll::Ready(Err(end)) = received {
            return Poll::Ready(if end.at_source {
                "server_gone"
            } else {
                "client_gone"
            });
        }
        if sent.is_ready() && received.is_ready() {
            return Poll::Ready("done");
        }
        if up.transfer.sent_bytes + down.transfer.sent_bytes != before {
            deadline.set(Instant::now() + idle);
        }
        deadline.poll_passed(cx).map(|()| "idle")
    })
    .await;
    pool.reclaim(client.buffer);
    pool.reclaim(server.buffer);
    Carried {
        to_server: up.transfer.sent_bytes,
        to_client: down.transfer.sent_bytes,
        end,
    }
}

struct Failed {
    at_source: bool,
}

impl Direction {
    fn new() -> Self {
        let decoder = BodyDecoder::response(Framing::UntilClose);
        Self {
            transfer: Transfer::new(Vec::new(), decoder, Encoding::Plain),
            state: State::Open,
        }
    }

    fn poll<A: Stream, B: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        source: &mut A,
        buffer: &mut Buffer,
        sink: &mut B,
    ) -> Poll<Result<(), Failed>> {
        if self.state == State::Open {
            match self.transfer.poll(cx, pool, source, buffer, sink) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => self.state = State::Closing,
                Poll::Ready(Err(error)) => {
                    let at_source = !matches!(error, TransferError::Sink(_));
                    return Poll::Ready(Err(Failed { at_source }));
                }
            }
        }
        if self.state == State::Closing {
            match Pin::new(sink).poll_shutdown(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => self.state = State::Closed,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed { at_source: false })),
            }
        }
        Poll::Ready(Ok(()))
    }
}
