//! What one HTTP/2 connection and its streams share: the frames that wait to be sent, the windows, and
//! the bytes that have arrived for each stream. Nothing in it grows beyond what its constants say.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

use rustc_hash::FxBuildHasher;

use super::frame::{self, Code, Settings, WINDOW_FIRST, WINDOW_MAX};
use super::message;
use super::server::ResponseBlock;
use crate::stream::TlsFacts;

mod begin;
mod send;
mod stream;

/// How many requests may be in progress at a time on a connection.
pub(crate) const STREAMS_MAX: usize = 100;
/// How much of a body may be on its way to us and not be passed on yet, for a stream and for all.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The same for each response of a server. What has arrived of them counts as passed on for all at once:
/// otherwise a client that does not take its response would hold up those of others.
pub(crate) const RESPONSE_WINDOW: u32 = 128 * 1024;
/// How much of heads may wait to be passed on; more is no response.
const HEADS_MAX: usize = 1024 * 1024;
/// How much may wait to be sent before streams have to wait.
const OUT_MAX: usize = 64 * 1024;
/// How much memory for what is sent is kept by a connection that has requests.
const OUT_KEEP: usize = 16 * 1024;
/// How many streams that have ended are remembered.
const RECENT_MAX: usize = 128;

/// Whom a connection is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It begins streams.
    Client,
    /// We begin streams.
    Server,
}

/// A connection as its streams see it.
pub(crate) struct Session {
    inner: RefCell<Inner>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
}

struct Inner {
    with: Peer,
    /// Frames to be sent; those before `sent` are.
    out: Vec<u8>,
    sent: usize,
    /// Bytes before this may be on their way and must not change.
    frozen: usize,
    /// The last frame of a message in `out`: whose it is and where it begins.
    last: Option<(u32, usize)>,
    settings: Settings,
    window: i64,
    receive_window: i64,
    /// Bytes of bodies that were passed on and that the peer has not been told of.
    passed: usize,
    streams: HashMap<u32, Entry, FxBuildHasher>,
    /// Streams that wait for what they share, in the order in which their turns come.
    waiting: VecDeque<u32>,
    /// Streams that have ended, and whether it was us who ended them.
    recent: VecDeque<(u32, bool)>,
    driver: Option<Waker>,
    driver_called: bool,
    /// How many streams were broken off for what the peer did.
    faults: u32,
    /// How many exchanges have come to their end.
    completed: u32,
    /// The stream that we begin next, with a server.
    next: u32,
    /// Streams that are promised to somebody who has not begun them yet.
    reserved: usize,
    /// We begin no more streams.
    leaving: bool,
}

/// One stream.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one stream"
)]
struct Entry {
    waker: Option<Waker>,
    window: i64,
    receive_window: i64,
    /// What has arrived, in the form of HTTP/1.1, from `taken` on.
    received: Vec<u8>,
    taken: usize,
    /// How many bytes in windows that stands for.
    held: usize,
    /// Bytes that were passed on and that the peer has not been told of.
    passed: usize,
    form: Form,
    /// What its Content-Length still promises.
    promised: Option<u64>,
    websocket: bool,
    /// The peer has sent everything.
    peer_ended: bool,
    /// The final head was sent.
    has_head: bool,
    /// We have sent everything.
    ended: bool,
    /// A server takes no more of the request; its response is whole.
    deaf: bool,
    /// The final head of a response has not come.
    awaits_head: bool,
    /// The request asks for a head alone.
    to_head: bool,
    /// Either side has broken it off: what those who work for it are told.
    reset: Option<io::ErrorKind>,
}

/// What those who work for a stream are told when the server has done nothing about their request, so
/// that it can be sent again.
pub(crate) const NOT_DONE: io::ErrorKind = io::ErrorKind::ConnectionRefused;
/// And when the server wants the request over HTTP/1.1.
pub(crate) const NOT_IN_HTTP2: io::ErrorKind = io::ErrorKind::Unsupported;

/// How a body is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Chunked,
}

/// What a new stream is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) form: Form,
    pub(crate) length: Option<u64>,
    pub(crate) websocket: bool,
    pub(crate) ends: bool,
}

/// What is known about a stream that a frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The peer has said that it sends no more.
    PeerEnded,
    /// It was broken off, and what was on its way is of no interest.
    Reset,
    /// It has ended in order.
    Ended,
    Unknown,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(with: Peer, tls: Option<Arc<TlsFacts>>) -> Self {
        let inner = Inner {
            with,
            out: Vec::new(),
            sent: 0,
            frozen: 0,
            last: None,
            settings: Settings::default(),
            window: WINDOW_FIRST,
            receive_window: i64::from(CONNECTION_WINDOW),
            passed: 0,
            streams: HashMap::default(),
            waiting: VecDeque::new(),
            recent: VecDeque::new(),
            driver: None,
            driver_called: false,
            faults: 0,
            completed: 0,
            next: 1,
            reserved: 0,
            leaving: false,
        };
        Self {
            inner: RefCell::new(inner),
            tls,
        }
    }

    /// Queues a frame of the connection.
    pub(crate) fn push(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        frame::write(kind, flags, stream, payload, &mut inner.out);
    }

    /// Says what every connection to a server begins with (RFC 9113 section 3.4).
    pub(crate) fn push_preface(&self) {
        self.inner
            .borrow_mut()
            .out
            .extend_from_slice(frame::PREFACE);
    }

    /// Says what we take, beyond what everybody may send (RFC 9113 section 6.5.2).
    pub(crate) fn introduce(&self, settings: &[(u16, u32)]) {
        let mut payload = Vec::with_capacity(6 * settings.len());
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.push(frame::SETTINGS, 0, 0, &payload);
        let first = u32::try_from(WINDOW_FIRST).unwrap_or(0);
        let more = (CONNECTION_WINDOW - first).to_be_bytes();
        self.push(frame::WINDOW_UPDATE, 0, 0, &more);
    }

    /// Says that the connection ends, and which stream was the last that something was done about.
    pub(crate) fn goodbye(&self, last_stream: u32, code: Code) {
        let mut payload = [0; 8];
        let (last, reason) = payload.split_at_mut(4);
        last.copy_from_slice(&last_stream.to_be_bytes());
        reason.copy_from_slice(&(code as u32).to_be_bytes());
        self.push(frame::GOAWAY, 0, 0, &payload);
    }

    /// Notes who sends what is queued.
    pub(crate) fn attend(&self, waker: &Waker) {
        let mut inner = self.inner.borrow_mut();
        inner.driver_called = false;
        if !inner
            .driver
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            inner.driver = Some(waker.clone());
        }
    }

    /// Writes what is queued with `write`, and calls those who wait for room. Ready when all is sent.
    pub(crate) fn poll_flush(
        &self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        while inner.sent < inner.out.len() {
            let outcome = write(inner.out.get(inner.sent..).unwrap_or_default());
            match outcome {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => inner.sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    inner.frozen = inner.out.len();
                    inner.compact();
                    inner.call_next();
                    return Poll::Pending;
                }
            }
        }
        inner.out.clear();
        (inner.sent, inner.frozen, inner.last) = (0, 0, None);
        if inner.streams.is_empty() {
            inner.out = Vec::new();
        } else {
            inner.out.shrink_to(OUT_KEEP.max(OUT_MAX));
        }
        inner.call_next();
        Poll::Ready(Ok(()))
    }

    /// Whether so much waits to be sent that nothing more should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.inner.borrow().pending() >= 2 * OUT_MAX
    }

    /// How many bytes wait to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.inner.borrow().pending()
    }

    /// How many streams have somebody who works for them.
    pub(crate) fn streams(&self) -> usize {
        self.inner.borrow().streams.len()
    }

    /// How many exchanges have come to their end since this was asked last, and how many streams were
    /// broken off for what the peer did.
    pub(crate) fn take_counts(&self) -> (u32, u32) {
        let mut inner = self.inner.borrow_mut();
        let completed = std::mem::take(&mut inner.completed);
        (completed, std::mem::take(&mut inner.faults))
    }

    pub(crate) fn state(&self, stream: u32) -> State {
        let inner = self.inner.borrow();
        match inner.streams.get(&stream) {
            Some(entry) if entry.reset.is_some() => State::Reset,
            Some(entry) if entry.peer_ended => State::PeerEnded,
            Some(_) => State::Open,
            None => match inner.recent.iter().find(|(known, _)| *known == stream) {
                Some((_, true)) => State::Reset,
                Some((_, false)) => State::Ended,
                None => State::Unknown,
            },
        }
    }

    /// Begins a stream.
    pub(crate) fn open(&self, stream: u32, opening: Opening) {
        let mut inner = self.inner.borrow_mut();
        let entry = Entry::new(inner.settings.window, STREAM_WINDOW, &opening);
        inner.streams.insert(stream, entry);
    }

    /// Breaks a stream off for what the peer did, and remembers that what is on its way is of no
    /// interest.
    pub(crate) fn reset(&self, stream: u32, code: Code) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.faults = inner.faults.saturating_add(1);
        frame::write(
            frame::RST_STREAM,
            0,
            stream,
            &(code as u32).to_be_bytes(),
            &mut inner.out,
        );
        match inner.streams.get_mut(&stream) {
            Some(entry) => entry.break_off(io::ErrorKind::ConnectionReset),
            None => inner.remember(stream, true),
        }
    }

    /// Takes note that the peer has broken a stream off. Whether somebody was still at work for it.
    pub(crate) fn peer_reset(&self, stream: u32, code: u32) -> bool {
        let mut inner = self.inner.borrow_mut();
        let with = inner.with;
        let Some(entry) = inner.streams.get_mut(&stream) else {
            return false;
        };
        if with == Peer::Server && entry.peer_ended && entry.reset.is_none() {
            // The response is whole: only the rest of the request is not wanted
            // (RFC 9113 section 8.1).
            entry.deaf = true;
            entry.call();
            return false;
        }
        let over = entry.ended && entry.peer_ended;
        let at_work = !(entry.reset.is_some() || over);
        entry.break_off(match code {
            _ if with == Peer::Client => io::ErrorKind::ConnectionReset,
            _ if code == Code::RefusedStream as u32 => NOT_DONE,
            _ if code == Code::Http11Required as u32 => NOT_IN_HTTP2,
            _ => io::ErrorKind::ConnectionReset,
        });
        at_work
    }

    /// The connection is over: everybody who works for it is told.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.leaving = true;
        for entry in inner.streams.values_mut() {
            entry.break_off(io::ErrorKind::ConnectionReset);
        }
    }

    /// Takes over settings of the peer.
    pub(crate) fn apply(&self, payload: &[u8]) -> Result<(), Code> {
        let mut inner = self.inner.borrow_mut();
        let before = inner.settings.window;
        inner.settings.apply(payload)?;
        let change = inner.settings.window - before;
        for entry in inner.streams.values_mut() {
            entry.window += change;
            if entry.window > WINDOW_MAX {
                return Err(Code::FlowControlError);
            }
            if change > 0 {
                entry.call();
            }
        }
        Ok(())
    }

    /// Lets the peer's windows grow. An error is one of the connection; one of the stream is handled.
    pub(crate) fn grow(&self, stream: u32, by: u32) -> Result<(), Code> {
        let by = i64::from(by);
        let mut inner = self.inner.borrow_mut();
        if stream == 0 {
            inner.window += by;
            if inner.window > WINDOW_MAX {
                return Err(Code::FlowControlError);
            }
            inner.call_next();
            return Ok(());
        }
        let Some(entry) = inner.streams.get_mut(&stream) else {
            return Ok(());
        };
        entry.window += by;
        if entry.window > WINDOW_MAX {
            drop(inner);
            self.reset(stream, Code::FlowControlError);
            return Ok(());
        }
        entry.call();
        Ok(())
    }

    /// Counts bytes that arrive, padding included, against the windows. An error is one of the
    /// connection; one of the stream is handled.
    pub(crate) fn arrive(&self, stream: u32, count: usize) -> Result<(), Code> {
        let mut inner = self.inner.borrow_mut();
        let size = i64::try_from(count).unwrap_or(i64::MAX);
        inner.receive_window -= size;
        if inner.receive_window < 0 {
            return Err(Code::FlowControlError);
        }
        let Some(entry) = inner
            .streams
            .get_mut(&stream)
            .filter(|entry| entry.reset.is_none())
        else {
            // Nobody will take it.
            inner.pass(count);
            return Ok(());
        };
        entry.receive_window -= size;
        if entry.receive_window < 0 {
            inner.pass(count);
            drop(inner);
            self.reset(stream, Code::FlowControlError);
            return Ok(());
        }
        entry.held += count;
        if inner.with == Peer::Server {
            inner.pass(count);
        }
        Ok(())
    }

    /// Takes a piece of a body that was counted.
    pub(crate) fn receive(&self, stream: u32, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner
            .streams
            .get_mut(&stream)
            .filter(|entry| entry.reset.is_none())
        else {
            return;
        };
        if let Some(promised) = &mut entry.promised {
            let Some(left) = promised.checked_sub(bytes.len() as u64) else {
                drop(inner);
                // More than its Content-Length (RFC 9113 section 8.1.1).
                return self.reset(stream, Code::ProtocolError);
            };
            *promised = left;
        }
        if bytes.is_empty() {
            return;
        }
        if entry.form == Form::Chunked {
            message::begin_chunk(bytes.len(), &mut entry.received);
            entry.received.extend_from_slice(bytes);
            entry.received.extend_from_slice(b"\r\n");
        } else {
            entry.received.extend_from_slice(bytes);
        }
        entry.call();
    }

    /// Takes the end of a body, with trailer lines.
    pub(crate) fn receive_end(&self, stream: u32, trailer: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner
            .streams
            .get_mut(&stream)
            .filter(|entry| entry.reset.is_none())
        else {
            return;
        };
        if entry.promised.is_some_and(|left| left > 0) {
            drop(inner);
            return self.reset(stream, Code::ProtocolError);
        }
        entry.peer_ended = true;
        if entry.form == Form::Chunked {
            entry.received.extend_from_slice(b"0\r\n");
            entry.received.extend_from_slice(trailer);
            entry.received.extend_from_slice(b"\r\n");
        }
        entry.call();
    }
}
