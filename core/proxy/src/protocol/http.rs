//! HTTP/1.1 and HTTP/1.0 with clients: one task reads requests from a connection, decides about each,
//! and owns the connection to the server while it is answered.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use lb_model::config::Protocol;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::pool::ServerIndex;
use crate::protocol::http2;
use crate::snapshot::LiveService;
use crate::stream::{Client, Stream};
use crate::upstream::{LocalServer, ServerConnection, ServerSocket};
use crate::worker::Worker;

mod alt_svc;
pub mod codec;
mod exchange;
mod facts;
pub(crate) mod linger;
mod pace;
mod reach;
mod relay;
mod respond;
mod send;
mod stream;
mod upgrade;
mod write;

use codec::{BadMessage, RequestHead, ResponseHead};
pub(crate) use stream::{Job, StreamTasks};
use upgrade::Upgrade;

/// One client connection that speaks HTTP/1.
struct Connection<S> {
    worker: Rc<Worker>,
    /// What it holds of the configuration between requests: nothing that a change replaces.
    live: Rc<LiveService>,
    client: Client<S>,
    buffer: Buffer,
    deadline: Deadline,
    /// Server connections that belong to this client connection alone.
    private: Vec<Private>,
    /// Header fields about the client that are the same for all its requests; made with the first,
    /// and with the first under another configuration.
    forwarded: Box<[u8]>,
    /// The configuration of the latest request; none before the first.
    served: Option<u64>,
    /// Whether it can still turn out to speak HTTP/2.
    may_be_http2: bool,
    /// What the latest exchange has led to, when that was another protocol.
    upgrade: Option<Box<Upgrade>>,
    /// When the last exchange ended: the clock is read as seldom as possible.
    now: Instant,
}

/// A server connection that carries somebody's Windows authentication.
struct Private {
    server: Rc<LocalServer>,
    /// Where the server stood in its pool when it was last used.
    index: ServerIndex,
    connection: ServerConnection<ServerSocket>,
}

/// The most private connections of one client connection: one for each pool that it reaches.
const PRIVATE_MAX: usize = 16;

/// The memory of one exchange. It is lent while a request is in progress, so that idle connections
/// hold none.
#[derive(Default)]
pub(crate) struct Scratch {
    request: RequestHead,
    request_bytes: Vec<u8>,
    response: ResponseHead,
    response_bytes: Vec<u8>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

/// What becomes of a client connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
    /// It carries another protocol from now on.
    Tunnel,
    /// It is closed, but the client may still be sending, and must be able to read our answer.
    Linger,
    /// It speaks HTTP/2, and has from the beginning.
    Http2,
}

/// How the wait for a request ended.
enum Arrival {
    Request,
    /// The client closed, or was idle for too long: nothing is owed to it.
    Nothing,
    Refused(BadMessage),
    Http2,
}

impl Scratch {
    /// Gives back memory that one unusual message has made it take.
    pub(crate) fn shrink(&mut self) {
        const KEEP: usize = 8 * 1024;
        for bytes in [
            &mut self.request_bytes,
            &mut self.response_bytes,
            &mut self.to_server,
            &mut self.to_client,
        ] {
            bytes.clear();
            bytes.shrink_to(KEEP);
        }
    }
}

/// Serves one client connection to its end.
pub(crate) async fn serve<S: Stream>(worker: Rc<Worker>, live: Rc<LiveService>, client: Client<S>) {
    let may_be_http2 = client.stream.tls().is_none() && live.look(|service| service.http2);
    let connection = Connection::new(worker, live, client, may_be_http2);
    connection.run().await;
}

impl<S: Stream> Connection<S> {
    fn new(
        worker: Rc<Worker>,
        live: Rc<LiveService>,
        client: Client<S>,
        may_be_http2: bool,
    ) -> Self {
        let first = live.look(|service| service.timeouts.header.duration());
        let now = Instant::now();
        Self {
            worker,
            live,
            client,
            buffer: Buffer::default(),
            deadline: Deadline::new(now, first),
            private: Vec::new(),
            forwarded: Box::default(),
            served: None,
            may_be_http2,
            upgrade: None,
            now,
        }
    }

    async fn run(mut self) {
        while self.wait().await {
            // On the heap: what an exchange needs is several times what an idle connection needs.
            let mut scratch = self.worker.lend_scratch();
            let after = Box::pin(self.serve_request(&mut scratch)).await;
            self.worker.reclaim_scratch(scratch);
            match after {
                After::Keep => {}
                After::Close => {
                    self.buffer.consume(self.buffer.len());
                    return self.worker.buffers.reclaim(&mut self.buffer);
                }
                After::Tunnel => {
                    if let Some(upgrade) = self.upgrade.take() {
                        return Box::pin(self.carry(upgrade)).await;
                    }
                }
                After::Http2 => {
                    let serving = http2::serve(self.worker, self.live, self.client, self.buffer);
                    return Box::pin(serving).await;
                }
                After::Linger => {
                    return linger::close(&mut self.client.stream, &mut self.buffer, &self.worker)
                        .await;
                }
            }
            let idle = self.live.look(|service| service.timeouts.idle.duration());
            self.deadline.set(self.now + idle);
        }
    }

    /// Waits for the first byte of a request, holding no memory. `false`: there will be none.
    async fn wait(&mut self) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        self.worker.buffers.reclaim(&mut self.buffer);
        self.client.attendance.set_idle(true);
        let Self {
            worker,
            live,
            client,
            deadline,
            private,
            served,
            ..
        } = self;
        let ends = |served: Option<u64>| {
            // A client that has had no answer yet is owed one, also by a service that is no more.
            worker.is_draining() || served.is_some() && !live.keeps(Protocol::Http)
        };
        let readable = poll_fn(|cx| match client.stream.poll_readable(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending if ends(*served) => Poll::Ready(client.stream.has_unread()),
            Poll::Pending => {
                private.retain(|private| private.server.is_open());
                deadline.poll_passed(cx).map(|()| false)
            }
        })
        .await;
        client.attendance.set_idle(false);
        readable
    }

    /// Whether the connection may wait for another request.
    fn keeps(&self) -> bool {
        !self.worker.is_draining() && self.live.keeps(Protocol::Http)
    }

    async fn serve_request(&mut self, scratch: &mut Scratch) -> After {
        let started = Instant::now();
        let arrival = self.read_head(scratch, started).await;
        match arrival {
            Arrival::Nothing => After::Close,
            Arrival::Http2 => After::Http2,
            Arrival::Refused(message) => {
                let facts = facts::Facts::refused(started, message);
                self.refuse(scratch, facts, message).await
            }
            Arrival::Request => self.exchange(scratch, started).await,
        }
    }

    /// Reads the head of a request and moves it out of the read buffer.
    async fn read_head(&mut self, scratch: &mut Scratch, started: Instant) -> Arrival {
        let limits = self.live.look(|service| service.head);
        let mut worth_parsing = 0;
        loop {
            let may_be_http2 = self.may_be_http2 && !self.buffer.is_empty();
            let http2 = may_be_http2.then(|| http2::is_preface(self.buffer.bytes()));
            match http2.flatten() {
                Some(true) => return Arrival::Http2,
                Some(false) => self.may_be_http2 = false,
                None => {}
            }
            let undecided = http2 == Some(None);
            if self.buffer.len() >= worth_parsing && !self.buffer.is_empty() && !undecided {
                match scratch.request.parse(self.buffer.bytes(), &limits) {
                    Ok(true) => break,
                    Ok(false) => {
                        worth_parsing = (self.buffer.len() * 2).min(limits.bytes_max + 1);
                    }
                    Err(message) => return Arrival::Refused(message),
                }
            }
            let before = self.buffer.len();
            if before > 0 {
                let timeout = self.live.look(|service| service.timeouts.header.duration());
                self.deadline.set(started + timeout);
            }
            self.worker.buffers.lend(&mut self.buffer);
            if before == self.buffer.capacity() {
                self.buffer
                    .grow((before * 2).min(limits.bytes_max.max(before) + 1024));
            }
            match self.fill().await {
                Some(Ok(count)) if count > 0 => {}
                // A half-closed connection still wants its answer, but half a request has none.
                Some(_) => return Arrival::Nothing,
                None if self.buffer.is_empty() => return Arrival::Nothing,
                None => {
                    let reason = "the header of the request did not arrive in time";
                    return Arrival::Refused(BadMessage {
                        status: 408,
                        reason,
                    });
                }
            }
            if ends_head(self.buffer.bytes(), before)
                || ends_first_line(self.buffer.bytes(), before)
            {
                worth_parsing = 0;
            }
        }
        let head = self
            .buffer
            .bytes()
            .get(..scratch.request.length)
            .unwrap_or_default();
        scratch.request_bytes.clear();
        scratch.request_bytes.extend_from_slice(head);
        self.buffer.consume(scratch.request.length);
        Arrival::Request
    }

    /// Reads once from the client; nothing when the deadline passes first.
    async fn fill(&mut self) -> Option<std::io::Result<usize>> {
        let Self {
            client,
            buffer,
            deadline,
            ..
        } = self;
        poll_fn(|cx| match buffer.poll_fill(cx, &mut client.stream) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => deadline.poll_passed(cx).map(|()| None),
        })
        .await
    }
}

/// Whether the end of the first line has come into the buffer since it held `before` bytes: what is no
/// request at all is refused there and not when the patience with its sender is at its end.
fn ends_first_line(bytes: &[u8], before: usize) -> bool {
    memchr::memchr(b'\n', bytes).is_some_and(|at| at >= before)
}

/// Whether an empty line has come into the buffer since it held `before` bytes. Only then, or when
/// the head has doubled, is it parsed again: a client that sends single bytes must not make us parse
/// everything for each of them.
fn ends_head(bytes: &[u8], before: usize) -> bool {
    let new = bytes.get(before.saturating_sub(3)..).unwrap_or_default();
    memchr::memchr_iter(b'\n', new).any(|at| {
        let rest = new.get(at + 1..).unwrap_or_default();
        rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    })
}
