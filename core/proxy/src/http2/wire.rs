//! Both directions of a connection, for whoever drives it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::frame::Code;
use super::read::{Event, Reader};
use super::session::Session;
use crate::buffer::{Buffer, BufferPool};
use crate::stream::Stream;

/// What is known of a connection, besides the stream that carries it.
pub(crate) struct Wire {
    pub(crate) session: Rc<Session>,
    pub(crate) reader: Reader,
    pub(crate) buffer: Buffer,
}

impl Wire {
    /// Writes what waits to be sent. Ready when all of it is.
    pub(crate) fn poll_flush<S: Stream>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        self.session
            .poll_flush(|bytes| Pin::new(&mut *stream).poll_write(cx, bytes))
    }

    /// Takes the next frame out of what was read; nothing when there is none, or when the peer should
    /// first take what we have to say.
    ///
    /// # Errors
    /// The connection has to end with this code.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, Code> {
        if self.buffer.is_empty() || self.session.is_full() {
            return Ok(None);
        }
        let (taken, event) = self.reader.take(self.buffer.bytes(), &self.session)?;
        self.buffer.consume(taken);
        if let Event::Incomplete(needed) = event {
            self.buffer.make_room(needed);
            return Ok(None);
        }
        Ok(Some(event))
    }

    /// Reads once; `false` at the end.
    pub(crate) fn poll_fill<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        buffers: &BufferPool,
    ) -> Poll<bool> {
        if self.session.is_full() {
            return Poll::Pending;
        }
        if self.buffer.is_empty() {
            buffers.reclaim(&mut self.buffer);
            match stream.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
        buffers.lend(&mut self.buffer);
        if self.reader.is_in_body() {
            buffers.enlarge(&mut self.buffer);
        }
        self.buffer
            .poll_fill(cx, stream)
            .map(|outcome| matches!(outcome, Ok(count) if count > 0))
    }

    /// Gives its memory back.
    pub(crate) fn end(&mut self, buffers: &BufferPool) {
        self.session.end();
        self.buffer.consume(self.buffer.len());
        buffers.reclaim(&mut self.buffer);
    }
}
