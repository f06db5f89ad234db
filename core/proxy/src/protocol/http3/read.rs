//! What a client sends on the stream of a request: frames in their order (RFC 9114 section 4.1).

use bytes::{Buf, Bytes};

use super::frame::{self, Code, HeadReader};

/// What a fault of the client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This request alone.
    Stream(Code),
    /// The connection with everything on it.
    Connection(Code),
}

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing that is whole: more bytes are needed.
    More,
    /// The header of the request, compressed.
    Header(Vec<u8>),
    /// The header of the request would be larger than it may be.
    TooLarge,
    /// A piece of the body; of a frame that is told whole, so that none of it is passed on when there is too
    /// much.
    Data(Bytes),
    /// The fields behind the body, compressed.
    Trailer(Vec<u8>),
    /// A frame that means nothing.
    Unknown,
}

/// Understands the frames of one request.
#[derive(Debug)]
pub(super) struct Reader {
    stage: Stage,
    head: HeadReader,
    frame: Option<Frame>,
    block: Vec<u8>,
    block_max: u64,
    /// What the Content-Length still promises.
    promised: Option<u64>,
    /// Whether the bytes of the body mean something else than to HTTP: a WebSocket, say.
    opaque: bool,
}

/// What may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Body,
    End,
}

/// A frame that has not come to its end.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Block,
    Unknown,
}

impl Reader {
    /// `block_max`: how long a header block may be.
    pub(super) fn new(block_max: usize) -> Self {
        Self {
            stage: Stage::Header,
            head: HeadReader::default(),
            frame: None,
            block: Vec::new(),
            block_max: block_max as u64,
            promised: None,
            opaque: false,
        }
    }

    /// Says what the header has said about the body.
    pub(super) fn expect(&mut self, length: Option<u64>, opaque: bool) {
        self.promised = length;
        self.opaque = opaque;
    }

    /// Takes bytes from the front of `bytes`, as far as the next thing that can be told.
    ///
    /// # Errors
    /// The client has broken a rule.
    pub(super) fn take(&mut self, bytes: &mut Bytes) -> Result<Event, Fault> {
        loop {
            let Some(frame) = &mut self.frame else {
                let mut rest = &bytes[..];
                let head = self.head.take(&mut rest);
                let taken = bytes.len() - rest.len();
                bytes.advance(taken);
                let Some((kind, length)) = head else {
                    return Ok(Event::More);
                };
                if let Some(event) = self.begin(kind, length)? {
                    return Ok(event);
                }
                continue;
            };
            let count = usize::try_from(frame.left).unwrap_or(usize::MAX);
            let count = count.min(bytes.len());
            if count == 0 && frame.left > 0 {
                return Ok(Event::More);
            }
            let piece = bytes.split_to(count);
            frame.left -= count as u64;
            let (kind, over) = (frame.kind, frame.left == 0);
            if over {
                self.frame = None;
            }
            match kind {
                Kind::Data if piece.is_empty() => return Ok(Event::Unknown),
                Kind::Data => return Ok(Event::Data(piece)),
                Kind::Unknown if over => return Ok(Event::Unknown),
                Kind::Unknown => {}
                Kind::Block => {
                    self.block.extend_from_slice(&piece);
                    if over {
                        return Ok(self.end_block());
                    }
                }
            }
        }
    }

    /// Begins a frame.
    fn begin(&mut self, kind: u64, length: u64) -> Result<Option<Event>, Fault> {
        let unexpected = Err(Fault::Connection(Code::FrameUnexpected));
        let kind = match kind {
            frame::DATA if self.stage == Stage::Body => {
                if let Some(promised) = &mut self.promised {
                    // More than its Content-Length (RFC 9114 section 4.1.2).
                    let left = promised.checked_sub(length);
                    *promised = left.ok_or(Fault::Stream(Code::MessageError))?;
                }
                Kind::Data
            }
            frame::HEADERS if self.opaque => return unexpected,
            frame::HEADERS if self.stage != Stage::End => {
                if length > self.block_max {
                    return if self.stage == Stage::Header {
                        Ok(Some(Event::TooLarge))
                    } else {
                        Err(Fault::Stream(Code::ExcessiveLoad))
                    };
                }
                Kind::Block
            }
            frame::DATA
            | frame::HEADERS
            | frame::CANCEL_PUSH
            | frame::SETTINGS
            | frame::PUSH_PROMISE
            | frame::GOAWAY
            | frame::MAX_PUSH_ID => return unexpected,
            kind if frame::is_of_http2(kind) => return unexpected,
            _ => Kind::Unknown,
        };
        self.frame = Some(Frame { kind, left: length });
        Ok(None)
    }

    fn end_block(&mut self) -> Event {
        let block = std::mem::take(&mut self.block);
        if self.stage == Stage::Header {
            self.stage = Stage::Body;
            Event::Header(block)
        } else {
            self.stage = Stage::End;
            Event::Trailer(block)
        }
    }

    /// Takes note that the client sends no more.
    ///
    /// # Errors
    /// Something that it has begun is not whole.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.frame.is_some() || self.head.is_midway() {
            return Err(Fault::Connection(Code::FrameError));
        }
        if self.stage == Stage::Header {
            return Err(Fault::Stream(Code::RequestIncomplete));
        }
        if self.promised.is_some_and(|left| left > 0) {
            return Err(Fault::Stream(Code::MessageError));
        }
        Ok(())
    }
}
