//! Memory for bytes on the wire. A connection holds some only while there are bytes in it, so an
//! idle connection has none; each thread keeps a few pieces that were given back.

use std::cell::RefCell;

/// Room for one record with all that may surround it (RFC 8446 section 5.2).
const SMALL: usize = 17 * 1024;
/// Room for several records: fewer system calls for each megabyte.
const LARGE: usize = 68 * 1024;

/// How many free pieces of each size a thread keeps: 6 MiB in all.
const FREE_SMALL_MAX: usize = 128;
const FREE_LARGE_MAX: usize = 64;

thread_local! {
    static FREE: Free = const { Free {
        small: RefCell::new(Vec::new()),
        large: RefCell::new(Vec::new()),
    } };
}

struct Free {
    small: RefCell<Vec<Vec<u8>>>,
    large: RefCell<Vec<Vec<u8>>>,
}

/// Bytes that wait: to be processed, to be taken or to be sent. Without bytes it holds no memory
/// once [`Bytes::settle`] was called.
#[derive(Default)]
pub(super) struct Bytes {
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Bytes {
    /// The bytes that wait.
    pub(super) fn filled(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes that wait, to be changed in their place.
    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none wait.
    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[cfg(test)]
    pub(super) const fn memory(&self) -> usize {
        self.data.len()
    }

    /// Takes bytes from the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for at least this much behind what waits. What waits moves to larger memory if need be.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        if self.data.len() - self.end < least {
            if self.start > 0 {
                self.data.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.data.len() - self.end < least {
                self.exchange(self.end + least);
            }
        }
        self.data.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts bytes that were put into the room as waiting.
    pub(super) fn fill(&mut self, count: usize) {
        self.end = (self.end + count).min(self.data.len());
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Gives memory back that nothing needs while it waits.
    pub(super) fn settle(&mut self) {
        if self.is_empty() {
            reclaim(std::mem::take(&mut self.data));
        } else if self.data.len() > SMALL && self.len() <= SMALL / 2 {
            self.exchange(self.len());
        }
    }

    /// Moves what waits to other memory of at least this size.
    fn exchange(&mut self, size: usize) {
        let mut data = lend(size);
        let count = self.len();
        if let Some(front) = data.get_mut(..count) {
            front.copy_from_slice(self.filled());
        }
        reclaim(std::mem::replace(&mut self.data, data));
        self.start = 0;
        self.end = count;
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        reclaim(std::mem::take(&mut self.data));
    }
}

fn lend(size: usize) -> Vec<u8> {
    let free = if size <= SMALL {
        FREE.try_with(|free| free.small.borrow_mut().pop())
    } else if size <= LARGE {
        FREE.try_with(|free| free.large.borrow_mut().pop())
    } else {
        Ok(None)
    };
    let size = if size <= SMALL {
        SMALL
    } else {
        size.max(LARGE)
    };
    // Zeroed once, when it is made.
    free.ok().flatten().unwrap_or_else(|| vec![0; size])
}

fn reclaim(data: Vec<u8>) {
    // It fails only while the thread ends.
    let _kept = FREE.try_with(|free| {
        let (list, max) = match data.len() {
            SMALL => (&free.small, FREE_SMALL_MAX),
            LARGE => (&free.large, FREE_LARGE_MAX),
            _ => return,
        };
        let mut list = list.borrow_mut();
        if list.len() < max {
            list.push(data);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_survives_growing_and_settling_and_then_no_memory_is_held() {
        let mut bytes = Bytes::default();
        bytes.push(b"abcdef");
        assert_eq!(bytes.data.len(), SMALL);
        bytes.consume(2);
        assert!(bytes.room(SMALL).len() >= SMALL);
        assert_eq!(bytes.data.len(), LARGE);
        bytes.push(b"gh");
        assert_eq!(bytes.filled(), b"cdefgh");
        bytes.settle();
        assert_eq!((bytes.data.len(), bytes.filled()), (SMALL, &b"cdefgh"[..]));
        bytes.consume(99);
        bytes.settle();
        assert_eq!(bytes.data.len(), 0);
    }

    #[test]
    fn more_than_the_largest_piece_can_wait_and_is_not_kept() {
        let mut bytes = Bytes::default();
        bytes.push(&vec![7; LARGE + 1]);
        assert_eq!(bytes.len(), LARGE + 1);
        bytes.consume(bytes.len());
        bytes.settle();
        FREE.with(|free| assert!(free.large.borrow().iter().all(|data| data.len() == LARGE)));
    }
}
