//! Bodies: how they are framed, and the decoder that finds their bytes in a stream.

use super::BadMessage;
use super::field::{FieldKind, is_token};

/// How the body of a message is framed (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, each with its size, then trailer fields.
    Chunked,
    /// Everything until the connection closes; responses only.
    UntilClose,
}

/// What a decoder found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes of framing that carry nothing: skip them.
    Framing(usize),
    /// So many bytes of the body.
    Data(usize),
    /// One trailer field: a line of so many bytes, its end included. A field that must not be in a
    /// trailer is reported as `Framing`.
    Trailer(usize),
    /// The body has ended, with so many bytes of framing.
    End(usize),
    /// More input is needed.
    Incomplete,
}

/// The most bytes of the line that starts a chunk, extensions included.
const CHUNK_LINE_MAX: usize = 4096;
/// The most bytes of the trailer section. Less than a read buffer holds, so that one line which never
/// ends is seen to be too long before the buffer is full.
const TRAILERS_MAX: usize = 8 * 1024;

/// Finds the bytes of one body in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDecoder {
    state: State,
    /// How many bytes of trailers have passed.
    trailers: usize,
    /// The status of a refusal: 400 for a request, 502 for a response.
    status: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl BodyDecoder {
    /// A decoder of a request body.
    pub fn request(framing: Framing) -> Self {
        Self::new(framing, 400)
    }

    /// A decoder of a response body.
    pub fn response(framing: Framing) -> Self {
        Self::new(framing, 502)
    }

    fn new(framing: Framing, status: u16) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            trailers: 0,
            status,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body ends when the connection does.
    pub fn ends_with_connection(&self) -> bool {
        self.state == State::UntilClose
    }

    /// How many bytes are known to be still to come, in the body or in its present chunk.
    pub fn expected(&self) -> u64 {
        match self.state {
            State::Length(left) | State::ChunkData(left) => left,
            State::UntilClose => u64::MAX,
            State::ChunkSize | State::ChunkEnd | State::Trailers | State::Done => 0,
        }
    }

    /// Looks at the front of the input. What is reported has been taken: the caller removes it from
    /// its input before the next call.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, BadMessage> {
        match self.state {
            State::Done => Ok(Piece::End(0)),
            State::UntilClose if input.is_empty() => Ok(Piece::Incomplete),
            State::UntilClose => Ok(Piece::Data(input.len())),
            State::Length(left) => Ok(self.data(input, left, State::Done, State::Length)),
            State::ChunkData(left) => Ok(self.data(input, left, State::ChunkEnd, State::ChunkData)),
            State::ChunkSize => self.chunk_size(input),
            State::ChunkEnd => match input {
                [] | [b'\r'] => Ok(Piece::Incomplete),
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Piece::Framing(2))
                }
                _ => Err(self.bad("a chunk is not followed by CR LF")),
            },
            State::Trailers => self.trailer(input),
        }
    }

    fn data(&mut self, input: &[u8], left: u64, end: State, go_on: fn(u64) -> State) -> Piece {
        let count = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 {
            return Piece::Incomplete;
        }
        let left = left - count as u64;
        self.state = if left == 0 { end } else { go_on(left) };
        Piece::Data(count)
    }

    fn chunk_size(&mut self, input: &[u8]) -> Result<Piece, BadMessage> {
        let digits = input.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > 16 {
            return Err(self.bad("the size of a chunk has more than 16 digits"));
        }
        let Some(line) = memchr::memchr(b'\n', input) else {
            // Refuse what can no longer become a chunk line; wait for the rest of what can.
            let rest = input.get(digits..).unwrap_or_default();
            self.check_extension(rest.strip_suffix(b"\r").unwrap_or(rest))?;
            if digits == 0 && !input.is_empty() {
                return Err(self.bad("a chunk has no size"));
            }
            return Ok(Piece::Incomplete);
        };
        let text = input.get(..line).unwrap_or_default();
        let Some(text) = text.strip_suffix(b"\r") else {
            return Err(self.bad("the line of a chunk does not end with CR LF"));
        };
        if digits == 0 {
            return Err(self.bad("a chunk has no size"));
        }
        self.check_extension(text.get(digits..).unwrap_or_default())?;
        let size = text.iter().take(digits).fold(0_u64, |size, digit| {
            size << 4 | u64::from((*digit as char).to_digit(16).unwrap_or(0))
        });
        if i64::try_from(size).is_err() {
            // Where sizes are signed numbers, this one is negative.
            return Err(self.bad("the size of a chunk does not fit into 63 bits"));
        }
        self.state = if size == 0 {
            State::Trailers
        } else {
            State::ChunkData(size)
        };
        Ok(Piece::Framing(line + 1))
    }

    /// Chunk extensions are dropped, but only well-formed ones: `;name[=value]`, without the white
    /// space that some programs take for the end of the size (RFC 9112 section 7.1.1).
    fn check_extension(&self, text: &[u8]) -> Result<(), BadMessage> {
        if text.len() > CHUNK_LINE_MAX {
            return Err(self.bad("the extension of a chunk is too long"));
        }
        let legal = |b: &u8| *b == b'\t' || *b == b' ' || b.is_ascii_graphic();
        match text {
            [] => Ok(()),
            [b';', rest @ ..] if rest.iter().all(legal) => Ok(()),
            _ => Err(self.bad("the size of a chunk is not well formed")),
        }
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Piece, BadMessage> {
        let Some(line) = memchr::memchr(b'\n', input) else {
            let open = input.strip_suffix(b"\r").unwrap_or(input);
            return if self.trailers + input.len() > TRAILERS_MAX {
                Err(self.bad("the trailer is too large"))
            } else if open.contains(&b'\r') {
                Err(self.bad("a line of the trailer has a bare CR"))
            } else {
                Ok(Piece::Incomplete)
            };
        };
        self.trailers += line + 1;
        if self.trailers > TRAILERS_MAX {
            return Err(self.bad("the trailer is too large"));
        }
        let text = input.get(..line).unwrap_or_default();
        let Some(text) = text.strip_suffix(b"\r") else {
            return Err(self.bad("a line of the trailer does not end with CR LF"));
        };
        if text.is_empty() {
            self.state = State::Done;
            return Ok(Piece::End(line + 1));
        }
        let Some(colon) = memchr::memchr(b':', text) else {
            return Err(self.bad("a line of the trailer has no colon"));
        };
        let (name, value) = text.split_at_checked(colon).unwrap_or_default();
        let control = |b: &u8| *b != b'\t' && (*b < b' ' || *b == 0x7f);
        if !is_token(name) || value.iter().any(control) {
            return Err(self.bad("a field of the trailer is not well formed"));
        }
        // Fields that frame, route or authenticate have no meaning after the fact, and servers that
        // merge trailers into the header would believe them (RFC 9110 section 6.5.1).
        if FieldKind::of(name) == FieldKind::Other {
            Ok(Piece::Trailer(line + 1))
        } else {
            Ok(Piece::Framing(line + 1))
        }
    }

    fn bad(&self, reason: &'static str) -> BadMessage {
        BadMessage {
            status: self.status,
            reason,
        }
    }
}
