//! Streams that we begin, with servers.

use std::io;

use super::{
    Entry, Form, HEADS_MAX, Inner, NOT_DONE, Opening, Peer, RESPONSE_WINDOW, ResponseBlock,
    STREAMS_MAX, Session,
};
use crate::http2::frame::{Code, HEAD};
use crate::http2::server;

/// The last stream that there is.
const LAST: u32 = 0x7fff_ffff;

impl Session {
    /// Promises a stream to somebody; `false` when there is no room for one.
    pub(crate) fn reserve(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let streams_max = inner.settings.streams_max.min(STREAMS_MAX);
        let enough = inner.streams.len() + inner.reserved < streams_max;
        let ids = u32::try_from(inner.reserved).unwrap_or(LAST);
        let left = (LAST - inner.next) / 2 > ids;
        if inner.leaving || !enough || !left {
            return false;
        }
        inner.reserved += 1;
        true
    }

    /// Nobody begins the promised stream.
    pub(crate) fn release(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.reserved = inner.reserved.saturating_sub(1);
        inner.call_driver_to_leave();
    }

    /// Begins the promised stream with the head of a request in the form of HTTP/1.1: its number, and
    /// how long the head was.
    ///
    /// # Errors
    /// No more streams begin here, or that is no head.
    pub(crate) fn begin(&self, head: &[u8]) -> io::Result<(u32, usize)> {
        let scheme = if self.tls.is_some() {
            &b"https"[..]
        } else {
            b"http"
        };
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if inner.leaving {
            return Err(NOT_DONE.into());
        }
        let at = inner.out.len();
        inner.out.extend([0; HEAD]);
        let Some((to_head, length)) = server::request_block(head, scheme, &mut inner.out) else {
            inner.out.truncate(at);
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let stream = inner.next;
        inner.next += 2;
        inner.reserved = inner.reserved.saturating_sub(1);
        inner.frame_block(stream, at, 0);
        inner.last = Some((stream, at));
        let opening = Opening {
            form: Form::Plain,
            length: None,
            websocket: false,
            ends: false,
        };
        let mut entry = Entry::new(inner.settings.window, RESPONSE_WINDOW, &opening);
        entry.has_head = true;
        entry.awaits_head = true;
        entry.to_head = to_head;
        inner.streams.insert(stream, entry);
        inner.call_driver();
        Ok((stream, length))
    }

    /// The last stream that we have begun; 0 before the first.
    pub(crate) fn last_begun(&self) -> u32 {
        self.inner.borrow().next.saturating_sub(2)
    }

    /// Whether what comes next on a stream is the head of its response.
    pub(crate) fn awaits_head(&self, stream: u32) -> bool {
        let inner = self.inner.borrow();
        let entry = inner.streams.get(&stream);
        entry.is_some_and(|entry| entry.awaits_head)
    }

    /// Takes the head of a response. `ends`: there is no body.
    pub(crate) fn receive_head(&self, stream: u32, block: &ResponseBlock, ends: bool) {
        let mut inner = self.inner.borrow_mut();
        let Some(entry) = inner.streams.get_mut(&stream) else {
            return;
        };
        let ResponseBlock {
            text,
            status,
            length,
        } = block;
        let heads = entry.received.len() + text.len();
        if *status < 200 && ends || heads > HEADS_MAX {
            drop(inner);
            return self.reset(stream, Code::ProtocolError);
        }
        entry.received.extend_from_slice(text);
        if *status >= 200 {
            entry.awaits_head = false;
            entry.frame_response(*status, *length);
        }
        entry.received.extend_from_slice(b"\r\n");
        entry.call();
        drop(inner);
        if ends {
            self.receive_end(stream, &[]);
        }
    }

    /// The server has said what the last stream is that it does something about.
    pub(crate) fn server_leaves(&self, last: u32) {
        let mut inner = self.inner.borrow_mut();
        inner.leaving = true;
        for (stream, entry) in &mut inner.streams {
            if *stream > last {
                entry.break_off(NOT_DONE);
            }
        }
    }

    /// Begins no more streams; those that are under way come to their end.
    pub(crate) fn leave(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.leaving = true;
        inner.call_driver_to_leave();
    }

    /// Whether no more streams begin.
    pub(crate) fn is_leaving(&self) -> bool {
        self.inner.borrow().leaving
    }

    /// Whether nobody works for a stream of it, or is about to.
    pub(crate) fn is_unused(&self) -> bool {
        let inner = self.inner.borrow();
        inner.streams.is_empty() && inner.reserved == 0
    }
}

impl Inner {
    fn call_driver_to_leave(&mut self) {
        if self.with == Peer::Server && self.leaving {
            self.call_driver();
        }
    }
}

impl Entry {
    /// Says how the body of a response is framed in the form of HTTP/1.1 (RFC 9112 section 6.3).
    fn frame_response(&mut self, status: u16, length: Option<u64>) {
        if self.to_head || matches!(status, 204 | 304) {
            // Its length is that of what another request would get.
            self.promised = Some(0);
        } else if length.is_some() {
            self.promised = length;
        } else {
            self.form = Form::Chunked;
            self.received
                .extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
    }
}
