//! What those who work for a stream do with it.

use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::send::Written;
use super::{Peer, RESPONSE_WINDOW, STREAM_WINDOW, Session};
use crate::http2::frame::{self, Code, HEAD, PAYLOAD_MAX};
use crate::http2::message;

impl Session {
    /// Ready when there is something to read, the end of it included.
    pub(crate) fn poll_readable(&self, stream: u32, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let entry = inner.entry(stream)?;
        if entry.taken < entry.received.len() || entry.peer_ended {
            return Poll::Ready(Ok(()));
        }
        entry.wait(cx);
        Poll::Pending
    }

    /// Whether something has arrived.
    pub(crate) fn has_unread(&self, stream: u32) -> bool {
        let inner = self.inner.borrow();
        let entry = inner.streams.get(&stream);
        entry.is_some_and(|entry| entry.taken < entry.received.len())
    }

    /// Ready when the peer, or the connection, is gone.
    pub(crate) fn poll_gone(&self, stream: u32, cx: &Context<'_>) -> Poll<()> {
        match self.inner.borrow_mut().entry(stream) {
            Ok(entry) => {
                entry.wait(cx);
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }

    pub(crate) fn poll_read(
        &self,
        stream: u32,
        cx: &Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let quarter = match inner.with {
            Peer::Client => STREAM_WINDOW as usize / 4,
            Peer::Server => RESPONSE_WINDOW as usize / 4,
        };
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
        if entry.passed >= quarter && !entry.peer_ended {
            let by = std::mem::take(&mut entry.passed);
            entry.receive_window += i64::try_from(by).unwrap_or(0);
            inner.update_window(stream, by);
        }
        if inner.with == Peer::Client {
            inner.pass(credit);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the head of a message, or a part of its body, as far as the windows allow.
    pub(crate) fn poll_write(
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
            inner.write_response(stream, bytes)?
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
    pub(crate) fn finish(&self, stream: u32, trailer: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let entry = inner.entry(stream)?;
        if entry.ended {
            return Ok(());
        }
        if entry.deaf {
            return Err(io::ErrorKind::BrokenPipe.into());
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
    pub(crate) fn close(&self, stream: u32, code: Code) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Some(entry) = inner.streams.remove(&stream) else {
            return;
        };
        if inner.with == Peer::Client {
            inner.pass(entry.held);
        }
        let in_order = entry.ended && entry.peer_ended && entry.reset.is_none();
        if !in_order && entry.reset.is_none() && !entry.deaf {
            let code = match inner.with {
                // A complete answer stays one when the rest of its request is not wanted
                // (RFC 9113 section 8.1).
                Peer::Client if entry.ended => Code::NoError,
                Peer::Client => code,
                Peer::Server => Code::Cancel,
            };
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
