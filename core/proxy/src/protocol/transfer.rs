//! One direction of an exchange: what is to be written first, then a body that is read on one side and
//! written on the other as it arrives. At most one buffer of it is in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::buffer::{Buffer, BufferPool, SMALL};
use crate::protocol::http::codec::{BadMessage, BodyDecoder, Piece};
use crate::stream::Stream;

/// How much is encoded before it is written.
const OUT_MAX: usize = 64 * 1024;
/// How much of a body travels in the same system call as the head before it.
const JOINED_MAX: usize = 16 * 1024;

/// One direction of an exchange.
#[derive(Debug)]
pub(crate) struct Transfer {
    decoder: BodyDecoder,
    encoding: Encoding,
    /// Bytes to be written before more of the body: the head, or encoded chunks.
    out: Vec<u8>,
    written: usize,
    /// Everything has been encoded; what is left is in `out`.
    encoded: bool,
    /// Trailer fields wait here for the last chunk.
    trailer: Vec<u8>,
    /// How many bytes of the body have been taken from the source.
    pub(crate) body_bytes: u64,
    /// How many bytes have been written to the sink, framing included.
    pub(crate) sent_bytes: u64,
    /// The side that the transfer waits for.
    pub(crate) waits_for: Side,
    last_read: usize,
    /// Whether some of what is being written may be on its way, though none counts as sent.
    midway: bool,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The bytes as they are.
    Plain,
    /// In chunks (RFC 9112 section 7.1).
    Chunked,
}

/// A side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

/// Why a transfer ended early.
#[derive(Debug)]
pub(crate) enum TransferError {
    Source(io::Error),
    Message(BadMessage),
    Sink(io::Error),
}

impl Transfer {
    /// A transfer that first writes `head` and then the body.
    pub(crate) fn new(head: Vec<u8>, decoder: BodyDecoder, encoding: Encoding) -> Self {
        Self {
            decoder,
            encoding,
            out: head,
            written: 0,
            encoded: false,
            trailer: Vec::new(),
            body_bytes: 0,
            sent_bytes: 0,
            waits_for: Side::Sink,
            last_read: 0,
            midway: false,
        }
    }

    /// Gives the memory of the head back for the next one.
    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.out
    }

    /// Whether nothing has been sent, not even in part.
    pub(crate) const fn is_unsent(&self) -> bool {
        self.sent_bytes == 0 && !self.midway
    }

    /// Moves bytes until everything is written, or one side makes it wait.
    pub(crate) fn poll<S: Stream, W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        source: &mut S,
        buffer: &mut Buffer,
        sink: &mut W,
    ) -> Poll<Result<(), TransferError>> {
        if self.sent_bytes == 0 {
            self.join_body(buffer)?;
        }
        loop {
            ready!(self.poll_flush(cx, sink))?;
            if self.encoded {
                sink.end_message(&self.trailer)
                    .map_err(TransferError::Sink)?;
                return Poll::Ready(Ok(()));
            }
            if self.encoding == Encoding::Plain && self.decoder.expected() > 0 {
                if !buffer.is_empty() {
                    ready!(self.poll_pass(cx, buffer, sink))?;
                    continue;
                }
            } else if self.encode(buffer)? {
                continue;
            }
            ready!(self.poll_read(cx, pool, source, buffer))?;
        }
    }

    /// Puts what is already there of the body behind the head: one system call for both.
    fn join_body(&mut self, buffer: &mut Buffer) -> Result<(), TransferError> {
        while !self.encoded && self.out.len() < JOINED_MAX && self.encode(buffer)? {}
        Ok(())
    }

    fn poll_flush<W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<Result<(), TransferError>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let count = match Pin::new(&mut *sink).poll_write(cx, rest) {
                Poll::Ready(outcome) => written(outcome)?,
                Poll::Pending => {
                    self.midway |= sink.is_midway();
                    self.waits_for = Side::Sink;
                    return Poll::Pending;
                }
            };
            self.written += count;
            self.sent_bytes += count as u64;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes bytes of the body straight from the buffer.
    fn poll_pass<W: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        sink: &mut W,
    ) -> Poll<Result<(), TransferError>> {
        let mut ahead = self.decoder;
        let Piece::Data(count) = ahead
            .decode(buffer.bytes())
            .map_err(TransferError::Message)?
        else {
            return Poll::Ready(Ok(()));
        };
        let bytes = buffer.bytes().get(..count).unwrap_or_default();
        let count = match Pin::new(&mut *sink).poll_write(cx, bytes) {
            Poll::Ready(outcome) => written(outcome)?,
            Poll::Pending => {
                self.midway |= sink.is_midway();
                self.waits_for = Side::Sink;
                return Poll::Pending;
            }
        };
        let passed = buffer.bytes().get(..count).unwrap_or_default();
        // The decoder moves by what was really written.
        self.decoder
            .decode(passed)
            .map_err(TransferError::Message)?;
        buffer.consume(count);
        self.body_bytes += count as u64;
        self.sent_bytes += count as u64;
        Poll::Ready(Ok(()))
    }

    /// Encodes what is in the buffer. `false`: nothing could be, more input is needed.
    fn encode(&mut self, buffer: &mut Buffer) -> Result<bool, TransferError> {
        let mut progressed = false;
        while self.out.len() < OUT_MAX {
            let piece = self
                .decoder
                .decode(buffer.bytes())
                .map_err(TransferError::Message)?;
            let bytes = buffer.bytes();
            let consumed = match piece {
                Piece::Framing(count) => count,
                Piece::Data(count) => {
                    let data = bytes.get(..count).unwrap_or_default();
                    if self.encoding == Encoding::Chunked {
                        write_chunk(&mut self.out, data);
                    } else {
                        self.out.extend_from_slice(data);
                    }
                    self.body_bytes += count as u64;
                    count
                }
                Piece::Trailer(count) => {
                    self.trailer
                        .extend_from_slice(bytes.get(..count).unwrap_or_default());
                    count
                }
                Piece::End(count) => {
                    buffer.consume(count);
                    self.end();
                    return Ok(true);
                }
                Piece::Incomplete => return Ok(progressed),
            };
            buffer.consume(consumed);
            progressed = true;
        }
        Ok(true)
    }

    /// Writes what ends the body.
    fn end(&mut self) {
        if self.encoding == Encoding::Chunked && !self.encoded {
            self.out.extend_from_slice(b"0\r\n");
            self.out.append(&mut self.trailer);
            self.out.extend_from_slice(b"\r\n");
        }
        self.encoded = true;
    }

    fn poll_read<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        pool: &BufferPool,
        source: &mut S,
        buffer: &mut Buffer,
    ) -> Poll<Result<(), TransferError>> {
        self.waits_for = Side::Source;
        if buffer.capacity() == 0 {
            // Waiting costs no buffer.
            ready!(source.poll_readable(cx)).map_err(TransferError::Source)?;
            pool.lend(buffer);
        }
        if self.last_read >= SMALL || self.decoder.expected() > SMALL as u64 {
            pool.enlarge(buffer);
        }
        match buffer.poll_fill(cx, source) {
            Poll::Pending => {
                pool.reclaim(buffer);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(TransferError::Source(error))),
            Poll::Ready(Ok(0)) if self.decoder.ends_with_connection() => {
                self.end();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(0)) => {
                let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                Poll::Ready(Err(TransferError::Source(error)))
            }
            Poll::Ready(Ok(count)) => {
                self.last_read = count;
                Poll::Ready(Ok(()))
            }
        }
    }
}

fn written(outcome: io::Result<usize>) -> Result<usize, TransferError> {
    match outcome {
        Ok(0) => Err(TransferError::Sink(io::ErrorKind::WriteZero.into())),
        Ok(count) => Ok(count),
        Err(error) => Err(TransferError::Sink(error)),
    }
}

fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    let digits = (usize::BITS - data.len().leading_zeros())
        .div_ceil(4)
        .max(1);
    for digit in (0..digits).rev() {
        let nibble = data.len() >> (4 * digit) & 0xf;
        out.push(b"0123456789abcdef"[nibble]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}
