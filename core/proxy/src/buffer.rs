//! Read buffers, and the free list of each worker that lends them.
//!
//! A connection holds a buffer only while there are bytes in it: an idle connection has none. The
//! memory is zeroed once when a buffer is made, and reused without zeroing after that.

use std::cell::RefCell;
use std::task::{Context, Poll, ready};
use std::{io, pin::Pin};

use tokio::io::{AsyncRead, ReadBuf};

/// The size of a buffer for heads and small bodies.
pub(crate) const SMALL: usize = 16 * 1024;
/// The size of a buffer for bodies that move in bulk: fewer system calls for each megabyte.
pub(crate) const LARGE: usize = 128 * 1024;

/// Bytes that were read and not yet consumed. Without capacity it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes to be consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes the buffer can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.data.len()
    }

    /// Takes bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Grows the buffer so that it can hold `capacity` bytes.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if capacity > self.data.len() {
            self.data.resize(capacity, 0);
        }
    }

    /// Makes room for so many bytes, those that are there included.
    pub(crate) fn make_room(&mut self, count: usize) {
        if self.start + count > self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.grow(count);
        }
    }

    /// Puts bytes behind the others, as far as there is room.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if let Some(free) = self.data.get_mut(self.end..self.end + bytes.len()) {
            free.copy_from_slice(bytes);
            self.end += bytes.len();
        }
    }

    /// Reads once. `Ok(0)` means that the other side has closed, or that the buffer is full.
    pub(crate) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
    ) -> Poll<io::Result<usize>> {
        if self.start > 0 && self.end == self.data.len() {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let mut free = ReadBuf::new(self.data.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(source).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

/// The free buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    small: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
}

/// How many free buffers of each size a worker keeps: 8 MiB in all.
const FREE_SMALL_MAX: usize = 256;
const FREE_LARGE_MAX: usize = 32;

impl BufferPool {
    /// Gives an empty-handed buffer memory of at least [`SMALL`] bytes.
    pub(crate) fn lend(&self, buffer: &mut Buffer) {
        if buffer.data.is_empty() {
            let free = self.small.borrow_mut().pop();
            buffer.data = free.unwrap_or_else(|| vec![0; SMALL]);
        }
    }

    /// Exchanges the memory of an empty buffer for a large one.
    pub(crate) fn enlarge(&self, buffer: &mut Buffer) {
        if buffer.is_empty() && buffer.data.len() < LARGE {
            self.reclaim(buffer);
            let free = self.large.borrow_mut().pop();
            buffer.data = free.unwrap_or_else(|| vec![0; LARGE]);
        }
    }

    /// Takes the memory of an empty buffer back.
    pub(crate) fn reclaim(&self, buffer: &mut Buffer) {
        if !buffer.is_empty() || buffer.data.is_empty() {
            return;
        }
        let data = std::mem::take(&mut buffer.data);
        let (list, max) = match data.len() {
            SMALL => (&self.small, FREE_SMALL_MAX),
            LARGE => (&self.large, FREE_LARGE_MAX),
            // Grown for one large head: rare, so its memory is given back to the system.
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < max {
            list.push(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reclaimed_buffer_holds_no_memory_and_is_lent_again() {
        let pool = BufferPool::default();
        let mut buffer = Buffer::default();
        pool.lend(&mut buffer);
        assert_eq!(buffer.capacity(), SMALL);
        pool.reclaim(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        assert_eq!(pool.small.borrow().len(), 1);
        pool.lend(&mut buffer);
        assert_eq!(pool.small.borrow().len(), 0);
        pool.enlarge(&mut buffer);
        assert_eq!((buffer.capacity(), pool.small.borrow().len()), (LARGE, 1));
    }

    #[test]
    fn bytes_that_were_not_consumed_survive_the_next_read() {
        let mut buffer = Buffer {
            data: vec![0; 8],
            start: 0,
            end: 0,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut source: &[u8] = b"abcdefghijkl";
        assert!(matches!(
            buffer.poll_fill(&mut cx, &mut source),
            Poll::Ready(Ok(8))
        ));
        buffer.consume(6);
        assert!(matches!(
            buffer.poll_fill(&mut cx, &mut source),
            Poll::Ready(Ok(4))
        ));
        assert_eq!(buffer.bytes(), b"ghijkl");
    }
}
