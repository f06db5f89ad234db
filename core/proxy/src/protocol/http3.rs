//! HTTP/3 with clients (RFC 9114): one task accepts the streams of a connection, and each request is served by
//! a task of its own, by the same code as one of HTTP/1.1. Between them there are only bytes in the form of
//! HTTP/1.1, as in HTTP/2, so that everything about a request is decided in one place.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use lb_model::config::Protocol;
use quinn::{RecvStream, SendStream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::deadline::Deadline;
use crate::http2::calm;
use crate::http2::message::Outcome;
use crate::protocol::http::{self, codec::BadMessage, codec::Version};
use crate::snapshot::LiveService;
use crate::stream::Client;
use crate::worker::Worker;

mod channel;
mod control;
mod frame;
pub(crate) mod heard;
mod message;
pub(crate) mod qpack;
mod read;
mod session;

use channel::{Broken, Channel, Incoming, Opening, Stopped};
use control::OneWay;
pub(crate) use frame::Code;
use read::{Event, Fault};
pub(crate) use session::Session;

/// How long a client has at most to learn that we leave, before the requests that it begins are refused.
const LEAVING_MAX: Duration = Duration::from_secs(1);
/// The same in round trips.
const LEAVING_ROUND_TRIPS: u32 = 3;
/// How long a client may take to have all that it was sent, and to hear that the connection ends.
const DELIVERY_MAX: Duration = Duration::from_secs(10);
/// How much is read at once of streams that say little.
const PIECE_MAX: usize = 4 * 1024;

/// One client connection that speaks HTTP/3.
struct Connection {
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    session: Rc<Session>,
    /// What we say about the connection itself.
    control: SendStream,
    /// The end of that, which the client must not ask for.
    control_stopped: Stopped,
    deadline: Deadline,
    waits_for: Wait,
    leaving: Leaving,
    /// The stream behind the last one that was accepted.
    next: u64,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Request,
    /// The exchanges, which have deadlines of their own.
    Exchanges,
    /// That the client has heard that we leave.
    Leaving,
    /// That nothing is left to do.
    Left,
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

/// What happens next on a connection.
enum Step {
    Request(SendStream, RecvStream),
    OneWay(RecvStream),
    Announce,
    Leave,
    /// Nobody has anything to say any more.
    Done,
    /// The connection is over, or has to be.
    Over,
}

/// The last request that any client can make (RFC 9114 section 5.2).
const ALL: u64 = (1 << 62) - 4;

/// Serves one client connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, live: Rc<LiveService>, session: Session) {
    let header = live.look(|service| service.timeouts.header.duration());
    let session = Rc::new(session);
    let Ok(Some(control)) = timeout(header, begin(&session, &live)).await else {
        // The client gives us no stream to say what every HTTP/3 connection begins with.
        return session.fail(Code::GeneralProtocolError);
    };
    // A change of the configuration must reach the connection whatever it does.
    session.attendance.set_idle(true);
    let idle = live.look(|service| service.timeouts.idle.duration());
    let mut connection = Connection {
        deadline: Deadline::new(Instant::now(), idle),
        waits_for: Wait::Request,
        leaving: Leaving::No,
        next: 0,
        control_stopped: Box::pin(control.stopped()),
        worker,
        live,
        session,
        control,
    };
    connection.run().await;
    connection.end().await;
}

/// Says what every HTTP/3 connection begins with; nothing when the connection is over.
async fn begin(session: &Session, live: &LiveService) -> Option<SendStream> {
    let mut control = session.connection.open_uni().await.ok()?;
    let bytes_max = live.look(|service| service.head.bytes_max);
    let mut settings = Vec::new();
    for (id, value) in [
        // The largest header.
        (0x6, bytes_max as u64),
        // WebSockets (RFC 9220).
        (0x8, 1),
        // No table for compression, so that no stream waits for another one (RFC 9204 section 5).
        (0x1, 0),
        (0x7, 0),
    ] {
        frame::write_integer(id, &mut settings);
        frame::write_integer(value, &mut settings);
    }
    // The kind of the stream (RFC 9114 section 6.2.1), and its first frame.
    let mut first = vec![0];
    frame::write_head(frame::SETTINGS, settings.len(), &mut first);
    first.extend_from_slice(&settings);
    control.write_all(&first).await.ok()?;
    Some(control)
}

impl Connection {
    async fn run(&mut self) {
        loop {
            match self.next_step().await {
                Step::Request(send, receive) => self.request(send, receive),
                Step::OneWay(stream) => self.one_way(stream),
                Step::Announce => {
                    self.leaving = Leaving::Announced;
                    self.goodbye(ALL).await;
                }
                Step::Leave => {
                    self.leaving = Leaving::Left;
                    self.goodbye(self.next).await;
                }
                Step::Done | Step::Over => return,
            }
        }
    }

    async fn next_step(&mut self) -> Step {
        let session = Rc::clone(&self.session);
        tokio::select! {
            biased;
            step = poll_fn(|cx| self.poll_state(cx)) => step,
            accepted = session.connection.accept_bi() => match accepted {
                Ok((send, receive)) => Step::Request(send, receive),
                Err(_) => Step::Over,
            },
            accepted = session.connection.accept_uni() => match accepted {
                Ok(stream) => Step::OneWay(stream),
                Err(_) => Step::Over,
            },
        }
    }

    /// Looks whether the connection may go on as it is, and how long it has waited.
    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.session.fault().is_some() {
            return Poll::Ready(Step::Over);
        }
        if let Poll::Ready(Ok(_)) = self.control_stopped.as_mut().poll(cx) {
            self.session.fail(Code::ClosedCriticalStream);
            return Poll::Ready(Step::Over);
        }
        let leaves = self.worker.is_draining() || !self.keeps();
        if self.leaving == Leaving::No && leaves {
            return Poll::Ready(Step::Announce);
        }
        let waits_for = self.wait();
        if waits_for == Wait::Left && self.session.streams() == 0 {
            return Poll::Ready(Step::Done);
        }
        if waits_for != self.waits_for {
            self.waits_for = waits_for;
            let idle = self.live.look(|service| service.timeouts.idle.duration());
            let timeout = match waits_for {
                Wait::Request | Wait::Exchanges | Wait::Left => idle,
                Wait::Leaving => {
                    let round_trips = self.session.connection.rtt() * LEAVING_ROUND_TRIPS;
                    round_trips.min(LEAVING_MAX)
                }
            };
            self.deadline.set(Instant::now() + timeout);
        }
        while self.deadline.poll_passed(cx).is_ready() {
            match self.waits_for {
                Wait::Request => return Poll::Ready(Step::Announce),
                Wait::Leaving => return Poll::Ready(Step::Leave),
                Wait::Exchanges | Wait::Left => {
                    let idle = self.live.look(|service| service.timeouts.idle.duration());
                    self.deadline.set(Instant::now() + idle);
                }
            }
        }
        Poll::Pending
    }

    /// Whether the virtual service still speaks this with its clients.
    fn keeps(&self) -> bool {
        self.live.keeps(Protocol::Http) && self.live.look(|service| service.quic.is_some())
    }

    fn wait(&self) -> Wait {
        match self.leaving {
            Leaving::Announced => Wait::Leaving,
            Leaving::Left => Wait::Left,
            Leaving::No if self.session.streams() > 0 => Wait::Exchanges,
            Leaving::No => Wait::Request,
        }
    }

    /// Tells the client which of its requests are the first that are not served.
    async fn goodbye(&mut self, first: u64) {
        let (mut frame, mut id) = (Vec::new(), Vec::new());
        frame::write_integer(first, &mut id);
        frame::write_head(frame::GOAWAY, id.len(), &mut frame);
        frame.extend_from_slice(&id);
        // A client that takes nothing is not waited for.
        let _told = timeout(LEAVING_MAX, self.control.write_all(&frame)).await;
    }

    /// Serves a request that begins, in a task of its own.
    fn request(&mut self, mut send: SendStream, mut receive: RecvStream) {
        let id = u64::from(quinn::VarInt::from(send.id()));
        if self.leaving == Leaving::Left {
            // The client may ask it elsewhere (RFC 9114 section 5.2).
            let _reset = send.reset(Code::RequestRejected.into());
            let _stopped = receive.stop(Code::RequestRejected.into());
            return self.session.pay_broken();
        }
        self.next = self.next.max(id + 4);
        let request = Request {
            worker: Rc::clone(&self.worker),
            live: Rc::clone(&self.live),
            session: Rc::clone(&self.session),
        };
        let held = self.session.hold();
        tokio::task::spawn_local(async move {
            if let Some((client, text, refusal)) = request.understand(held, send, receive).await {
                let Request { worker, live, .. } = request;
                let text = (&text[..], Version::Http3);
                let job = http::Job::new(&worker, live, client, text, refusal);
                Box::pin(job.serve(worker)).await;
            }
        });
    }

    /// Hears what the client says about the connection.
    fn one_way(&self, stream: RecvStream) {
        let session = Rc::clone(&self.session);
        tokio::task::spawn_local(async move {
            if let Err(code) = hear(&session, stream).await {
                session.fail(code);
            }
        });
    }

    /// Says why the connection ends, if anybody listens.
    async fn end(self) {
        self.session.attendance.set_idle(false);
        if let Some(code) = self.session.fault() {
            let (service, peer) = (&self.live.state.name, self.session.peer);
            tracing::debug!(%service, %peer, ?code, "a client breaks the rules of HTTP/3");
            return self.live.counters(self.worker.index).refused.add(1);
        }
        // What was sent last would be lost with the connection.
        let _delivered = timeout(DELIVERY_MAX, self.session.delivered()).await;
        self.session.connection.close(Code::NoError.into(), b"");
    }
}

/// What the task of a request begins with.
struct Request {
    worker: Rc<Worker>,
    live: Rc<LiveService>,
    session: Rc<Session>,
}

impl Request {
    /// Reads the header of a request; nothing when there will be none.
    async fn understand(
        &self,
        held: session::Held,
        send: SendStream,
        receive: RecvStream,
    ) -> Option<(Client<Channel>, Vec<u8>, Option<BadMessage>)> {
        let (limits, patience) = self
            .live
            .look(|service| (service.head, service.timeouts.header.duration()));
        let mut incoming = Incoming::new(receive, limits.bytes_max);
        let until = Instant::now() + patience;
        let event = poll_fn(|cx| incoming.poll_event(cx, &self.session));
        let refused = |status, reason| Some(BadMessage { status, reason });
        let too_large = "the header of the request is too large";
        let (block, refusal) = match timeout_at(until, event).await {
            Ok(Ok(Some(Event::Header(block)))) => (block, None),
            Ok(Ok(Some(Event::TooLarge))) => (Vec::new(), refused(431, too_large)),
            Ok(Ok(
                Some(Event::Data(_) | Event::Trailer(_) | Event::More | Event::Unknown) | None,
            )) => {
                return self.reject(
                    send,
                    incoming,
                    Broken::Fault(Fault::Stream(Code::RequestIncomplete)),
                );
            }
            Ok(Err(broken)) => return self.reject(send, incoming, broken),
            Err(_) => {
                let late = "the header of the request did not arrive in time";
                (Vec::new(), refused(408, late))
            }
        };
        let ends = poll_fn(|cx| Poll::Ready(incoming.has_ended(cx))).await;
        let outcome = if refusal.is_some() {
            Outcome::TooLarge
        } else {
            match self.decode(&block, ends) {
                Ok(outcome) => outcome,
                Err(code) => {
                    return self.reject(send, incoming, Broken::Fault(Fault::Connection(code)));
                }
            }
        };
        let (length, websocket, refusal) = match outcome {
            Outcome::Request { length, websocket } => (length, websocket, None),
            Outcome::TooLarge => (None, false, refusal.or(refused(431, too_large))),
            Outcome::Malformed(reason) => {
                let (service, peer) = (&self.live.state.name, self.session.peer);
                tracing::debug!(%service, %peer, reason, "a request of HTTP/3 is refused");
                return self.reject(
                    send,
                    incoming,
                    Broken::Fault(Fault::Stream(Code::MessageError)),
                );
            }
        };
        incoming.reader().expect(length, websocket);
        let opening = Opening {
            chunked: length.is_none() && !ends && !websocket,
            websocket,
            patience,
        };
        let client = Client {
            stream: Channel::new(held, incoming, send, &opening),
            peer: self.session.peer,
            local: self.session.local,
            attendance: Rc::clone(&self.session.attendance),
        };
        let text = self.session.request.borrow().0.text.clone();
        Some((client, text, refusal))
    }

    /// Understands a header block, into the text of the session.
    fn decode(&self, block: &[u8], ends: bool) -> Result<Outcome, Code> {
        let limits = self.live.look(|service| service.head);
        let (request, room) = &mut *self.session.request.borrow_mut();
        request.begin(limits.bytes_max, limits.fields_max);
        let decoded = qpack::decode(block, room, |name, value| request.field(name, value));
        room.clear();
        room.shrink_to(1024);
        let outcome = request.end(ends);
        decoded.map_err(|_| Code::DecompressionFailed)?;
        Ok(outcome)
    }

    /// Ends a request of which nothing was understood.
    fn reject<T>(&self, mut send: SendStream, mut incoming: Incoming, broken: Broken) -> Option<T> {
        match broken {
            Broken::Fault(Fault::Connection(code)) => self.session.fail(code),
            Broken::Fault(Fault::Stream(code)) => {
                self.live.counters(self.worker.index).refused.add(1);
                let _reset = send.reset(code.into());
                incoming.stop(code);
                self.session.pay_broken();
            }
            Broken::Reset => {
                let _reset = send.reset(Code::RequestIncomplete.into());
                self.session.pay_broken();
            }
            Broken::Gone => {}
        }
        None
    }
}

/// Hears one stream that goes one way, to its end.
async fn hear(session: &Session, mut stream: RecvStream) -> Result<(), Code> {
    let mut one_way = OneWay::default();
    loop {
        let heard = match stream.read_chunk(PIECE_MAX, true).await {
            Ok(Some(chunk)) => one_way.take(&chunk.bytes, &mut session.known.borrow_mut())?,
            Ok(None) | Err(quinn::ReadError::Reset(_)) => return one_way.end(),
            // The connection is over.
            Err(_) => return Ok(()),
        };
        if one_way.is_unknown() {
            let _stopped = stream.stop(Code::StreamCreationError.into());
            session.pay(calm::EMPTY);
            return Ok(());
        }
        for _ in 0..heard {
            session.pay(calm::EMPTY);
        }
    }
}
