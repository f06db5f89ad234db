//! What is sent, and whose turn it is.

use std::io;
use std::task::Context;

use super::{CONNECTION_WINDOW, Entry, Inner, OUT_MAX, Opening, RECENT_MAX};
use crate::http2::frame::{self, HEAD, Head, PAYLOAD_MAX};
use crate::http2::message;

/// What came of an attempt to send.
pub(super) enum Written {
    Bytes(usize),
    /// The window of the stream is full.
    Blocked,
    /// The window of the connection is full.
    BlockedByAll,
}

impl Inner {
    pub(super) fn entry(&mut self, stream: u32) -> io::Result<&mut Entry> {
        match self.streams.get_mut(&stream) {
            Some(entry) => entry.reset.map_or(Ok(entry), |kind| Err(kind.into())),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Streams that wait have their turns before those that have just come.
    pub(super) fn may_send(&self, stream: u32) -> bool {
        self.pending() < OUT_MAX && self.waiting.front().is_none_or(|first| *first == stream)
    }

    pub(super) fn queue(&mut self, stream: u32) {
        if !self.waiting.contains(&stream) {
            self.waiting.push_back(stream);
        }
    }

    /// Calls whose turn it is, when there is room.
    pub(super) fn call_next(&mut self) {
        while self.pending() < OUT_MAX
            && self.window > 0
            && let Some(first) = self.waiting.front()
        {
            match self.streams.get_mut(first) {
                Some(entry) if entry.reset.is_none() => return entry.call(),
                Some(_) | None => drop(self.waiting.pop_front()),
            }
        }
    }

    pub(super) fn call_driver(&mut self) {
        if !self.driver_called
            && let Some(driver) = &self.driver
        {
            self.driver_called = true;
            driver.wake_by_ref();
        }
    }

    pub(super) fn write_response(&mut self, stream: u32, bytes: &[u8]) -> io::Result<Written> {
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
    pub(super) fn frame_block(&mut self, stream: u32, at: usize, flags: u8) {
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

    pub(super) fn write_data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<Written> {
        let (of_all, payload_max) = (self.window, self.settings.payload_max.min(PAYLOAD_MAX));
        let entry = self.entry(stream)?;
        if entry.ended || entry.deaf {
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
    pub(super) fn pass(&mut self, count: usize) {
        self.passed += count;
        if self.passed >= CONNECTION_WINDOW as usize / 4 {
            let by = std::mem::take(&mut self.passed);
            self.receive_window += i64::try_from(by).unwrap_or(0);
            self.update_window(0, by);
        }
    }

    pub(super) fn update_window(&mut self, stream: u32, by: usize) {
        let by = u32::try_from(by).unwrap_or(0).to_be_bytes();
        frame::write(frame::WINDOW_UPDATE, 0, stream, &by, &mut self.out);
        self.call_driver();
    }

    pub(super) fn remember(&mut self, stream: u32, reset: bool) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((stream, reset));
    }

    /// Forgets what has been sent, when that is much.
    pub(super) fn compact(&mut self) {
        if self.sent >= OUT_MAX {
            self.out.drain(..self.sent);
            self.frozen = self.frozen.saturating_sub(self.sent);
            self.last = None;
            self.sent = 0;
        }
    }
}

impl Entry {
    pub(super) fn new(window: i64, receive_window: u32, opening: &Opening) -> Self {
        Self {
            waker: None,
            window,
            receive_window: i64::from(receive_window),
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
            deaf: false,
            awaits_head: false,
            to_head: false,
            reset: None,
        }
    }

    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        // The waker of a task never changes.
        if self.waker.is_none() {
            self.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn call(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    pub(super) fn break_off(&mut self, told: io::ErrorKind) {
        self.reset = self.reset.or(Some(told));
        self.call();
    }
}
