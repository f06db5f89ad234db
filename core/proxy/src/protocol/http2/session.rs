//! What one HTTP/2 connection and its streams share: the frames that wait to be sent, the windows, and
//! the bytes that have arrived for each stream. Nothing in it grows beyond what its constants say.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustc_hash::FxBuildHasher;
use tokio::io::ReadBuf;

use super::frame::{self, Code, HEAD, Head, PAYLOAD_MAX, Settings, WINDOW_FIRST, WINDOW_MAX};
use super::message;
use crate::stream::TlsFacts;

/// How many requests of one client may be in progress at a time.
pub(super) const STREAMS_MAX: usize = 100;
/// How much of a body may be on its way to us and not be passed on yet, for a stream and for all.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much may wait to be sent before streams have to wait.
const OUT_MAX: usize = 64 * 1024;
/// How much memory for what is sent is kept by a connection that has requests.
const OUT_KEEP: usize = 16 * 1024;
/// How many streams that have ended are remembered.
const RECENT_MAX: usize = 128;

/// A connection as its streams see it.
pub(super) struct Session {
    inner: RefCell<Inner>,
    pub(super) tls: Option<Arc<TlsFacts>>,
}

struct Inner {
    /// Frames to be sent; those before `sent` are.
    out: Vec<u8>,
    sent: usize,
    /// Bytes before this may be on their way and must not change.
    frozen: usize,
    /// The last frame of a message in `out`: whose it is and where it begins.
    last: Option<(u32, usize)>,
    peer: Settings,
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
    /// Either side has broken it off.
    reset: bool,
}

/// How a body is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Chunked,
}

/// What a new stream is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) form: Form,
    pub(super) length: Option<u64>,
    pub(super) websocket: bool,
    pub(super) ends: bool,
}

/// What is known about a stream that a frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The peer has said that it sends no more.
    PeerEnded,
    /// It was broken off, and what was on its way is of no interest.
    Reset,
    /// It has ended in order.
    Ended,
    Unknown,
}

impl Session {
    pub(super) fn new(tls: Option<Arc<TlsFacts>>) -> Self {
        let inner = Inner {
            out: Vec::new(),
            sent: 0,
            frozen: 0,
            last: None,
            peer: Settings::default(),
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
        };
        Self {
            inner: RefCell::new(inner),
            tls,
        }
    }

    /// Queues a frame of the connection.
    pub(super) fn push(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        frame::write(kind, flags, stream, payload, &mut inner.out);
    }

    /// Notes who sends what is queued.
    pub(super) fn attend(&self, waker: &Waker) {
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
    pub(super) fn poll_flush(
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
    pub(super) fn is_full(&self) -> bool {
        self.inner.borrow().pending() >= 2 * OUT_MAX
    }

    /// How many bytes wait to be sent.
    pub(super) fn pending(&self) -> usize {
        self.inner.borrow().pending()
    }

    /// How many streams have somebody who works for them.
    pub(super) fn streams(&self) -> usize {
        self.inner.borrow().streams.len()
    }

    /// How many exchanges have come to their end since this was asked last, and how many streams were
    /// broken off for what the peer did.
    pub(super) fn take_counts(&self) -> (u32, u32) {
        let mut inner = self.inner.borrow_mut();
        let completed = std::mem::take(&mut inner.completed);
        (completed, std::mem::take(&mut inner.faults))
    }

    pub(super) fn state(&self, stream: u32) -> State {
        let inner = self.inner.borrow();
        match inner.streams.get(&stream) {
            Some(entry) if entry.reset => State::Reset,
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
    pub(super) fn open(&self, stream: u32, opening: Opening) {
        let mut inner = self.inner.borrow_mut();
        let entry = Entry {
            waker: None,
            window: inner.peer.window,
            receive_window: i64::from(STREAM_WINDOW),
            received: Vec::new(),
            taken: 0,
            held: 0,
            passed: 0,
            form: opening.form,
            promised: opening.length,
            websocket: opening.websocket,
            peer_ended: opening.ends,
            has_head: false,
            ended: false,
            reset: false,
        };
        inner.streams.insert(stream, entry);
    }

    /// Breaks a stream off for what the peer did, and remembers that what is on its way is of no
    /// interest.
    pub(super) fn reset(&self, stream: u32, code: Code) {
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
            Some(entry) => entry.break_off(),
            None => inner.remember(stream, true),
        }
    }

    /// Takes note that the peer has broken a stream off. Whether somebody was still at work for it.
    pub(super) fn peer_reset(&self, stream: u32) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner.streams.get_mut(&stream) else {
            return false;
        };
        let over = entry.ended && entry.peer_ended;
        let at_work = !(entry.reset || over);
        entry.break_off();
        at_work
    }

    /// The connection is over: everybody who works for it is told.
    pub(super) fn end(&self) {
        let mut inner = self.inner.borrow_mut();
        for entry in inner.streams.values_mut() {
            entry.break_off();
        }
    }

    /// Takes over settings of the peer.
    pub(super) fn apply(&self, payload: &[u8]) -> Result<(), Code> {
        let mut inner = self.inner.borrow_mut();
        let before = inner.peer.window;
        inner.peer.apply(payload)?;
        let change = inner.peer.window - before;
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
    pub(super) fn grow(&self, stream: u32, by: u32) -> Result<(), Code> {
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
    pub(super) fn arrive(&self, stream: u32, count: usize) -> Result<(), Code> {
        let mut inner = self.inner.borrow_mut();
        let size = i64::try_from(count).unwrap_or(i64::MAX);
        inner.receive_window -= size;
        if inner.receive_window < 0 {
            return Err(Code::FlowControlError);
        }
        let Some(entry) = inner.streams.get_mut(&stream).filter(|entry| !entry.reset) else {
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
        Ok(())
    }

    /// Takes a piece of a body that was counted.
    pub(super) fn receive(&self, stream: u32, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner.streams.get_mut(&stream).filter(|entry| !entry.reset) else {
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
    pub(super) fn receive_end(&self, stream: u32, trailer: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner.streams.get_mut(&stream).filter(|entry| !entry.reset) else {
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

    // What follows is what streams do.

    /// Ready when there is something to read, the end of it included.
    pub(super) fn poll_readable(&self, stream: u32, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let entry = inner.entry(stream)?;
        if entry.taken < entry.received.len() || entry.peer_ended {
            return Poll::Ready(Ok(()));
        }
        entry.wait(cx);
        Poll::Pending
    }

    /// Whether something has arrived.
    pub(super) fn has_unread(&self, stream: u32) -> bool {
        let inner = self.inner.borrow();
        let entry = inner.streams.get(&stream);
        entry.is_some_and(|entry| entry.taken < entry.received.len())
    }

    /// Ready when the peer, or the connection, is gone.
    pub(super) fn poll_gone(&self, stream: u32, cx: &Context<'_>) -> Poll<()> {
        match self.inner.borrow_mut().entry(stream) {
            Ok(entry) => {
                entry.wait(cx);
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }

    pub(super) fn poll_read(
        &self,
        stream: u32,
        cx: &Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let entry = inner.entry(stream)?;
        let rest = entry.received.get(entry.taken..).unwrap_or_default();
        if rest.is_empty() {
            if entry.peer_ended {
                return Poll::Ready(Ok(()));
            }
            entry.wait(cx);
            return Poll::Pending;
        }
        let count = rest.len().min(out.remaining());
        out.put_slice(rest.get(..count).unwrap_or_default());
        entry.taken += count;
        // What frames a chunk is not counted in windows, which makes the peer send a little sooner.
        let mut credit = count.min(entry.held);
        if entry.taken == entry.received.len() {
            entry.received.clear();
            entry.received.shrink_to(PAYLOAD_MAX);
            entry.taken = 0;
            credit = entry.held;
        }
        entry.held -= credit;
        entry.passed += credit;
        let quarter = STREAM_WINDOW as usize / 4;
        if entry.passed >= quarter && !entry.peer_ended {
            let by = std::mem::take(&mut entry.passed);
            entry.receive_window += i64::try_from(by).unwrap_or(0);
            inner.update_window(stream, by);
        }
        inner.pass(credit);
        Poll::Ready(Ok(()))
    }

    /// Sends the head of a message, or a part of its body, as far as the windows allow.
    pub(super) fn poll_write(
        &self,
        stream: u32,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.entry(stream)?.wait(cx);
        if !inner.may_send(stream) {
            inner.queue(stream);
            return Poll::Pending;
        }
        let written = if inner.entry(stream)?.has_head {
            inner.write_data(stream, bytes)?
        } else {
            inner.write_head(stream, bytes)?
        };
        if inner.waiting.front() == Some(&stream) {
            inner.waiting.pop_front();
            inner.call_next();
        }
        match written {
            Written::Bytes(count) => {
                inner.call_driver();
                Poll::Ready(Ok(count))
            }
            Written::Blocked => Poll::Pending,
            Written::BlockedByAll => {
                inner.queue(stream);
                Poll::Pending
            }
        }
    }

    /// Ends what we send, with trailer lines.
    pub(super) fn finish(&self, stream: u32, trailer: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let entry = inner.entry(stream)?;
        if entry.ended {
            return Ok(());
        }
        if !entry.has_head {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        entry.ended = true;
        if entry.peer_ended {
            inner.completed = inner.completed.saturating_add(1);
        }
        if !trailer.is_empty() {
            let at = inner.out.len();
            inner.out.extend([0; HEAD]);
            message::trailer_block(trailer, &mut inner.out);
            inner.frame_block(stream, at, frame::END_STREAM);
        } else if let Some((last, at)) = inner.last
            && last == stream
            && at >= inner.frozen.max(inner.sent)
            && let Some(flags) = inner.out.get_mut(at + 4)
        {
            *flags |= frame::END_STREAM;
        } else {
            frame::write(frame::DATA, frame::END_STREAM, stream, &[], &mut inner.out);
        }
        inner.call_driver();
        Ok(())
    }

    /// Nobody works for the stream any more. What it has not said is broken off.
    pub(super) fn close(&self, stream: u32, code: Code) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(entry) = inner.streams.remove(&stream) else {
            return;
        };
        inner.pass(entry.held);
        let in_order = entry.ended && entry.peer_ended && !entry.reset;
        if !in_order && !entry.reset {
            // A complete answer stays one when the rest of its request is not wanted
            // (RFC 9113 section 8.1).
            let code = if entry.ended { Code::NoError } else { code };
            frame::write(
                frame::RST_STREAM,
                0,
                stream,
                &(code as u32).to_be_bytes(),
                &mut inner.out,
            );
        }
        inner.remember(stream, !in_order);
        if inner.waiting.front() == Some(&stream) {
            inner.waiting.pop_front();
            inner.call_next();
        }
        inner.call_driver();
    }
}

/// What came of an attempt to send.
enum Written {
    Bytes(usize),
    /// The window of the stream is full.
    Blocked,
    /// The window of the connection is full.
    BlockedByAll,
}

impl Inner {
    fn entry(&mut self, stream: u32) -> io::Result<&mut Entry> {
        match self.streams.get_mut(&stream) {
            Some(entry) if !entry.reset => Ok(entry),
            Some(_) | None => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Streams that wait have their turns before those that have just come.
    fn may_send(&self, stream: u32) -> bool {
        self.pending() < OUT_MAX && self.waiting.front().is_none_or(|first| *first == stream)
    }

    fn queue(&mut self, stream: u32) {
        if !self.waiting.contains(&stream) {
            self.waiting.push_back(stream);
        }
    }

    /// Calls whose turn it is, when there is room.
    fn call_next(&mut self) {
        while self.pending() < OUT_MAX
            && self.window > 0
            && let Some(first) = self.waiting.front()
        {
            match self.streams.get_mut(first) {
                Some(entry) if !entry.reset => return entry.call(),
                Some(_) | None => drop(self.waiting.pop_front()),
            }
        }
    }

    fn call_driver(&mut self) {
        if !self.driver_called
            && let Some(driver) = &self.driver
        {
            self.driver_called = true;
            driver.wake_by_ref();
        }
    }

    fn write_head(&mut self, stream: u32, bytes: &[u8]) -> io::Result<Written> {
        let at = self.out.len();
        let websocket = self.entry(stream)?.websocket;
        self.out.extend([0; HEAD]);
        let Some((status, length)) = message::response_block(bytes, websocket, &mut self.out)
        else {
            self.out.truncate(at);
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.frame_block(stream, at, 0);
        self.last = Some((stream, at));
        self.entry(stream)?.has_head = status >= 200 || status == 101;
        Ok(Written::Bytes(length))
    }

    /// Makes frames of a header block that stands behind the room for the head of its first.
    fn frame_block(&mut self, stream: u32, at: usize, flags: u8) {
        let start = at + HEAD;
        let length = self.out.len().saturating_sub(start);
        let first = length.min(PAYLOAD_MAX);
        let ends = |last: bool| if last { frame::END_HEADERS } else { 0 };
        let head = Head {
            length: first,
            kind: frame::HEADERS,
            flags: flags | ends(first == length),
            stream,
        };
        if let Some(room) = self.out.get_mut(at..start) {
            room.copy_from_slice(&head.bytes());
        }
        if first == length {
            return;
        }
        let rest = self.out.split_off(start + first);
        let mut pieces = rest.chunks(PAYLOAD_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let flags = ends(pieces.peek().is_none());
            frame::write(frame::CONTINUATION, flags, stream, piece, &mut self.out);
        }
    }

    fn write_data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<Written> {
        let (of_all, payload_max) = (self.window, self.peer.payload_max.min(PAYLOAD_MAX));
        let entry = self.entry(stream)?;
        if entry.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if entry.window <= 0 {
            return Ok(Written::Blocked);
        }
        let Ok(window @ 1..) = usize::try_from(entry.window.min(of_all)) else {
            return Ok(Written::BlockedByAll);
        };
        let count = bytes.len().min(window).min(payload_max);
        let size = i64::try_from(count).unwrap_or(0);
        entry.window -= size;
        self.window -= size;
        self.last = Some((stream, self.out.len()));
        let piece = bytes.get(..count).unwrap_or_default();
        frame::write(frame::DATA, 0, stream, piece, &mut self.out);
        Ok(Written::Bytes(count))
    }

    /// Counts bytes that take no room of ours any longer, and tells the peer of them now and then.
    fn pass(&mut self, count: usize) {
        self.passed += count;
        if self.passed >= CONNECTION_WINDOW as usize / 4 {
            let by = std::mem::take(&mut self.passed);
            self.receive_window += i64::try_from(by).unwrap_or(0);
            self.update_window(0, by);
        }
    }

    fn update_window(&mut self, stream: u32, by: usize) {
        let by = u32::try_from(by).unwrap_or(0).to_be_bytes();
        frame::write(frame::WINDOW_UPDATE, 0, stream, &by, &mut self.out);
        self.call_driver();
    }

    fn remember(&mut self, stream: u32, reset: bool) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((stream, reset));
    }

    /// Forgets what has been sent, when that is much.
    fn compact(&mut self) {
        if self.sent >= OUT_MAX {
            self.out.drain(..self.sent);
            self.frozen = self.frozen.saturating_sub(self.sent);
            self.last = None;
            self.sent = 0;
        }
    }
}

impl Entry {
    fn wait(&mut self, cx: &Context<'_>) {
        // The waker of a task never changes.
        if self.waker.is_none() {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn call(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn break_off(&mut self) {
        self.reset = true;
        self.call();
    }
}
