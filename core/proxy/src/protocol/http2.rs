//! HTTP/2 with clients (RFC 9113): one task reads and writes the frames of a connection, and each request
//! is served by a task of its own, by the same code as one of HTTP/1.1. Between them there are only
//! bytes in the form of HTTP/1.1, so that everything about a request is decided in one place.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use lb_model::config::Protocol;
use tokio::time::Instant;

use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::http2::calm::{self, Calm};
use crate::http2::frame::{self, Code};
use crate::http2::message::Outcome;
use crate::http2::read::{Event, LEAVING, Reader};
use crate::http2::session::{Form, Opening, Peer, STREAM_WINDOW, STREAMS_MAX, Session};
use crate::http2::{Channel, PREFACE, Wire};
use crate::protocol::http::{self, codec::BadMessage, codec::Version, linger};
use crate::snapshot::LiveService;
use crate::stream::{Client, Stream};
use crate::worker::Worker;

/// How long a client has to learn that we leave, before the streams that it begins are refused.
const LEAVING_MAX: Duration = Duration::from_secs(1);

/// One client connection that speaks HTTP/2.
struct Connection<S> {
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    client: Client<S>,
    wire: Wire,
    deadline: Deadline,
    waits_for: Wait,
    leaving: Leaving,
    /// Frames that were to be sent when it was looked last.
    pending: usize,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// What every client has to say first, or the rest of a frame.
    Rest,
    /// The first or the next request.
    Request,
    /// That the client takes what is sent.
    Room,
    /// The exchanges, which have deadlines of their own.
    Exchanges,
    /// The client's word that it knows that we leave.
    Leaving,
}

/// How far we are with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// Requests that were under way when the client was told are still served.
    Announced,
    /// Nothing begins any more.
    Left,
}

/// How a connection ends.
enum End {
    /// Nobody has anything to say any more.
    Done,
    /// The client is gone.
    Gone,
    /// The client has broken a rule.
    Broken(Code),
}

/// Serves one client connection to its end; `buffer` is what has been read of it.
pub(crate) async fn serve<S: Stream>(
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    client: Client<S>,
    buffer: Buffer,
) {
    let now = Instant::now();
    let (limits, timeout) = live.look(|service| (service.head, service.timeouts.header.duration()));
    let mut connection = Connection {
        wire: Wire {
            session: Rc::new(Session::new(Peer::Client, client.stream.tls().cloned())),
            reader: Reader::of_client(limits, Calm::new(now)),
            buffer,
        },
        deadline: Deadline::new(now, timeout),
        waits_for: Wait::Rest,
        leaving: Leaving::No,
        pending: 0,
        worker,
        live,
        client,
    };
    connection.begin();
    let end = poll_fn(|cx| connection.poll(cx)).await;
    connection.end(end).await;
}

impl<S: Stream> Connection<S> {
    /// Says what every HTTP/2 connection begins with.
    fn begin(&self) {
        let bytes_max = self.live.look(|service| service.head.bytes_max);
        let settings = [
            (3_u16, u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX)),
            (4, STREAM_WINDOW),
            (6, u32::try_from(bytes_max).unwrap_or(u32::MAX)),
            // WebSockets (RFC 8441).
            (8, 1),
        ];
        self.wire.session.introduce(&settings);
        // A change of the configuration must reach the connection whatever it does.
        self.client.attendance.set_idle(true);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.wire.session.attend(cx.waker());
        let now = Instant::now();
        let (completed, faults) = self.wire.session.take_counts();
        self.wire.reader.calm.fill(now, completed);
        if let Err(code) = self
            .wire
            .reader
            .calm
            .pay(faults.saturating_mul(calm::BROKEN_STREAM))
        {
            return Poll::Ready(End::Broken(code));
        }
        if self.leaving == Leaving::No
            && (self.worker.is_draining() || !self.live.keeps(Protocol::Http))
        {
            self.announce();
        }
        loop {
            let flushed = match self.wire.poll_flush(cx, &mut self.client.stream) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Pending => false,
            };
            if flushed && self.leaving == Leaving::Left && self.wire.session.streams() == 0 {
                return Poll::Ready(End::Done);
            }
            match self.take_frames() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(code) => return Poll::Ready(End::Broken(code)),
            }
            let Self {
                worker,
                client,
                wire,
                ..
            } = self;
            match wire.poll_fill(cx, &mut client.stream, &worker.buffers) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(End::Gone),
                Poll::Pending => break,
            }
        }
        self.poll_deadline(cx, now)
    }

    /// Deals with what was read; whether there was anything, and answers may wait to be sent.
    fn take_frames(&mut self) -> Result<bool, Code> {
        let mut any = false;
        while let Some(event) = self.wire.next()? {
            any = true;
            match event {
                Event::Handled | Event::Incomplete(_) => {}
                Event::Request {
                    stream,
                    ends,
                    outcome,
                } => self.request(stream, ends, outcome),
                Event::KnowsOfLeaving => self.leave(),
            }
        }
        Ok(any && self.wire.session.pending() > 0)
    }

    /// Serves a request that has come, in a task of its own.
    fn request(&mut self, stream: u32, ends: bool, outcome: Outcome) {
        let busy = self.wire.session.streams() >= STREAMS_MAX;
        if busy || self.leaving == Leaving::Left {
            return self.wire.session.reset(stream, Code::RefusedStream);
        }
        let (length, websocket, refusal) = match outcome {
            Outcome::Request { length, websocket } => (length, websocket, None),
            Outcome::TooLarge => {
                let refusal = BadMessage {
                    status: 431,
                    reason: "the header of the request is too large",
                };
                (None, false, Some(refusal))
            }
            Outcome::Malformed(reason) => {
                let service = &self.live.state.name;
                let peer = self.client.peer;
                tracing::debug!(%service, %peer, reason, "a request of HTTP/2 is refused");
                self.live.counters(self.worker.index).refused.add(1);
                return self.wire.session.reset(stream, Code::ProtocolError);
            }
        };
        let chunked = length.is_none() && !ends && !websocket;
        let form = if chunked { Form::Chunked } else { Form::Plain };
        self.wire.session.open(
            stream,
            Opening {
                form,
                length,
                websocket,
                ends,
            },
        );
        let client = Client {
            stream: Channel::new(Rc::clone(&self.wire.session), stream),
            peer: self.client.peer,
            local: self.client.local,
            attendance: Rc::clone(&self.client.attendance),
        };
        let (worker, live) = (&self.worker, Rc::clone(&self.live));
        let text = (&self.wire.reader.request.text[..], Version::Http2);
        let job = http::Job::new(worker, live, client, text, refusal);
        worker.stream_tasks.serve(worker, job);
    }

    /// Tells the client that we leave. What it has sent before it knows is still served.
    fn announce(&mut self) {
        const ALL: u32 = 0x7fff_ffff;
        self.leaving = Leaving::Announced;
        self.goodbye(ALL, Code::NoError);
        self.wire.session.push(frame::PING, 0, 0, &LEAVING);
    }

    /// Begins nothing any more.
    fn leave(&mut self) {
        if self.leaving == Leaving::Announced {
            self.leaving = Leaving::Left;
            self.goodbye(self.wire.reader.last_stream, Code::NoError);
        }
    }

    fn goodbye(&self, last_stream: u32, code: Code) {
        self.wire.session.goodbye(last_stream, code);
    }

    /// Looks whether what the connection waits for takes too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<End> {
        let pending = self.wire.session.pending();
        let waits_for = self.wait();
        let moved = waits_for == Wait::Room && pending < self.pending;
        if waits_for != self.waits_for || moved {
            self.waits_for = waits_for;
            let timeout = self.live.look(|service| match waits_for {
                Wait::Rest | Wait::Room => service.timeouts.header.duration(),
                Wait::Request | Wait::Exchanges => service.timeouts.idle.duration(),
                Wait::Leaving => LEAVING_MAX,
            });
            self.deadline.set(now + timeout);
        }
        self.pending = pending;
        while self.deadline.poll_passed(cx).is_ready() {
            match self.waits_for {
                Wait::Rest | Wait::Room => return Poll::Ready(End::Gone),
                Wait::Request => return Poll::Ready(End::Broken(Code::NoError)),
                Wait::Exchanges => {
                    let idle = self.live.look(|service| service.timeouts.idle.duration());
                    self.deadline.set(now + idle);
                }
                Wait::Leaving => {
                    self.leave();
                    cx.waker().wake_by_ref();
                    break;
                }
            }
        }
        Poll::Pending
    }

    fn wait(&self) -> Wait {
        if self.wire.session.pending() > 0 {
            Wait::Room
        } else if self.wire.reader.is_midway() || !self.wire.buffer.is_empty() {
            Wait::Rest
        } else if self.leaving == Leaving::Announced {
            Wait::Leaving
        } else if self.wire.session.streams() > 0 {
            Wait::Exchanges
        } else {
            Wait::Request
        }
    }

    /// Says why the connection ends, if anybody listens, and tells those who work for it.
    async fn end(mut self, end: End) {
        self.client.attendance.set_idle(false);
        match end {
            End::Gone => {}
            End::Done => {
                linger::close(&mut self.client.stream, &mut self.wire.buffer, &self.worker).await;
            }
            End::Broken(code) => {
                self.wire.session.end();
                if code != Code::NoError {
                    let service = &self.live.state.name;
                    let peer = self.client.peer;
                    tracing::debug!(%service, %peer, ?code, "a client breaks the rules of HTTP/2");
                    self.live.counters(self.worker.index).refused.add(1);
                }
                self.goodbye(self.wire.reader.last_stream, code);
                let said = poll_fn(|cx| self.wire.poll_flush(cx, &mut self.client.stream));
                if matches!(tokio::time::timeout(LEAVING_MAX, said).await, Ok(Ok(()))) {
                    linger::close(&mut self.client.stream, &mut self.wire.buffer, &self.worker)
                        .await;
                }
            }
        }
        self.wire.end(&self.worker.buffers);
    }
}

/// Whether a connection that begins with these bytes speaks HTTP/2; nothing when more are needed.
pub(crate) fn is_preface(bytes: &[u8]) -> Option<bool> {
    let count = bytes.len().min(PREFACE.len());
    if bytes.get(..count) != PREFACE.get(..count) {
        return Some(false);
    }
    (count == PREFACE.len()).then_some(true)
}
