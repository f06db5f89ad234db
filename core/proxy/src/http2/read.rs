//! What a peer sends: frames in their order, checked against every rule whose breach is an error of the
//! connection (RFC 9113 sections 4 to 6).

use super::calm::{self, Calm};
use super::frame::{self, Code, HEAD, Head, PAYLOAD_MAX, PREFACE};
use super::hpack::Decoder;
use super::message::{Outcome, RequestText, TrailerText};
use super::server::ResponseText;
use super::session::{Peer, Session, State};
use crate::protocol::http::codec::{HeadLimits, response};

/// How many frames a header block may come in.
const CONTINUATIONS_MAX: u32 = 32;
/// What we say in the PING that asks whether the peer knows that we leave.
pub(crate) const LEAVING: [u8; 8] = *b"leaving?";

/// Understands the frames of one peer.
pub(crate) struct Reader {
    with: Peer,
    decoder: Decoder,
    /// The latest request.
    pub(crate) request: RequestText,
    limits: HeadLimits,
    pub(crate) calm: Calm,
    /// The highest stream that the client has begun.
    pub(crate) last_stream: u32,
    has_preface: bool,
    has_settings: bool,
    /// A header block that has not come to its end.
    block: Option<Block>,
    /// A DATA frame that has not come to its end.
    data: Option<Data>,
}

struct Block {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
    frames: u32,
}

#[derive(Clone, Copy)]
struct Data {
    stream: u32,
    ends: bool,
    left: usize,
    padding: usize,
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something that has been dealt with.
    Handled,
    /// Not all of something: so many bytes are needed.
    Incomplete(usize),
    /// A header block that begins a stream; `ends`: there is no body.
    Request {
        stream: u32,
        ends: bool,
        outcome: Outcome,
    },
    /// The peer knows that we leave.
    KnowsOfLeaving,
}

impl Reader {
    /// Understands a client, from its first byte.
    pub(crate) fn of_client(limits: HeadLimits, calm: Calm) -> Self {
        Self::new(Peer::Client, limits, calm)
    }

    /// Understands a server, from its first byte.
    pub(crate) fn of_server(calm: Calm) -> Self {
        let limits = HeadLimits {
            bytes_max: response::BYTES_MAX,
            // Responses have none.
            target_bytes_max: 0,
            fields_max: response::FIELDS_MAX,
        };
        Self::new(Peer::Server, limits, calm)
    }

    fn new(with: Peer, limits: HeadLimits, calm: Calm) -> Self {
        Self {
            with,
            decoder: Decoder::default(),
            request: RequestText::default(),
            limits,
            calm,
            last_stream: 0,
            has_preface: with == Peer::Server,
            has_settings: false,
            block: None,
            data: None,
        }
    }

    /// Whether the client owes us the rest of something that it has begun, bodies excepted.
    pub(crate) fn is_midway(&self) -> bool {
        self.block.is_some() || !self.has_settings
    }

    /// Whether a body is on its way.
    pub(crate) fn is_in_body(&self) -> bool {
        self.data.is_some()
    }

    /// Takes one thing from the front of `bytes`: how many bytes it took, and what it was.
    ///
    /// # Errors
    /// The connection has to end with this code.
    pub(crate) fn take(&mut self, bytes: &[u8], session: &Session) -> Result<(usize, Event), Code> {
        if !self.has_preface {
            return self.preface(bytes);
        }
        if let Some(data) = self.data {
            return Ok(self.body(data, bytes, session));
        }
        let Some(head) = Head::parse(bytes) else {
            return Ok((0, Event::Incomplete(HEAD)));
        };
        self.check(head)?;
        if head.kind == frame::DATA {
            return self.begin_data(head, bytes, session);
        }
        let whole = HEAD + head.length;
        let Some(payload) = bytes.get(HEAD..whole) else {
            return Ok((0, Event::Incomplete(whole)));
        };
        let event = match head.kind {
            frame::HEADERS => self.headers(head, payload, session)?,
            frame::CONTINUATION => self.continuation(head, payload, session)?,
            _ => self.control(head, payload, session)?,
        };
        Ok((whole, event))
    }

    fn preface(&mut self, bytes: &[u8]) -> Result<(usize, Event), Code> {
        let count = bytes.len().min(PREFACE.len());
        if bytes.get(..count) != PREFACE.get(..count) {
            return Err(Code::ProtocolError);
        }
        if count < PREFACE.len() {
            return Ok((0, Event::Incomplete(PREFACE.len())));
        }
        self.has_preface = true;
        Ok((count, Event::Handled))
    }

    /// The rules that hold for all frames.
    fn check(&mut self, head: Head) -> Result<(), Code> {
        if head.length > PAYLOAD_MAX {
            return Err(Code::FrameSizeError);
        }
        let continues = head.kind == frame::CONTINUATION;
        let expected = self.block.as_ref().map(|block| block.stream);
        // Nothing comes between the frames of a header block.
        if expected.is_some_and(|stream| !continues || stream != head.stream)
            || expected.is_none() && continues
        {
            return Err(Code::ProtocolError);
        }
        if !self.has_settings {
            if head.kind != frame::SETTINGS || head.has(frame::ACK) {
                return Err(Code::ProtocolError);
            }
            self.has_settings = true;
        }
        Ok(())
    }

    fn begin_data(
        &mut self,
        head: Head,
        bytes: &[u8],
        session: &Session,
    ) -> Result<(usize, Event), Code> {
        let ends = head.has(frame::END_STREAM);
        let (mut padding, mut taken) = (0, HEAD);
        if head.has(frame::PADDED) {
            let Some(length) = bytes.get(HEAD).filter(|_| head.length > 0) else {
                return if head.length == 0 {
                    Err(Code::FrameSizeError)
                } else {
                    Ok((0, Event::Incomplete(HEAD + 1)))
                };
            };
            (padding, taken) = (usize::from(*length), HEAD + 1);
        }
        let left = (HEAD + head.length) - taken;
        if padding > left || head.stream == 0 {
            return Err(Code::ProtocolError);
        }
        match session.state(head.stream) {
            State::Open | State::Reset => {}
            State::PeerEnded | State::Ended => return Err(Code::StreamClosed),
            State::Unknown if !self.has_begun(head.stream, session) => {
                return Err(Code::ProtocolError);
            }
            // It was so long ago that it is forgotten.
            State::Unknown => session.reset(head.stream, Code::StreamClosed),
        }
        if session.awaits_head(head.stream) {
            // A response begins with its head (RFC 9113 section 8.1).
            session.reset(head.stream, Code::ProtocolError);
        }
        if left == padding && !ends {
            self.calm.pay(calm::EMPTY)?;
        }
        session.arrive(head.stream, head.length)?;
        let data = Data {
            stream: head.stream,
            ends,
            left: left - padding,
            padding,
        };
        // An empty one has come to its end, whether anything follows or not.
        self.proceed(data, session);
        Ok((taken, Event::Handled))
    }

    /// Takes what is there of a DATA frame.
    fn body(&mut self, mut data: Data, bytes: &[u8], session: &Session) -> (usize, Event) {
        let count = bytes.len().min(data.left);
        let piece = bytes.get(..count).unwrap_or_default();
        session.receive(data.stream, piece);
        data.left -= count;
        let padding = (bytes.len() - count).min(data.padding);
        data.padding -= padding;
        self.proceed(data, session);
        (count + padding, Event::Handled)
    }

    /// Notes how far a DATA frame has come.
    fn proceed(&mut self, data: Data, session: &Session) {
        let over = data.left + data.padding == 0;
        self.data = (!over).then_some(data);
        if over && data.ends {
            session.receive_end(data.stream, &[]);
        }
    }

    fn headers(&mut self, head: Head, payload: &[u8], session: &Session) -> Result<Event, Code> {
        if head.stream == 0 {
            return Err(Code::ProtocolError);
        }
        let fragment = head.fragment(payload)?;
        let ends = head.has(frame::END_STREAM);
        if head.has(frame::END_HEADERS) {
            return self.end_block(head.stream, ends, fragment, session);
        }
        self.block = Some(Block {
            stream: head.stream,
            ends,
            bytes: fragment.to_vec(),
            frames: 0,
        });
        Ok(Event::Handled)
    }

    fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        session: &Session,
    ) -> Result<Event, Code> {
        let mut block = self.block.take().ok_or(Code::ProtocolError)?;
        block.frames += 1;
        block.bytes.extend_from_slice(payload);
        if payload.is_empty() {
            self.calm.pay(calm::EMPTY)?;
        }
        // Compressed, nothing that is allowed is larger.
        if block.frames > CONTINUATIONS_MAX || block.bytes.len() > self.limits.bytes_max {
            return Err(Code::EnhanceYourCalm);
        }
        if head.has(frame::END_HEADERS) {
            return self.end_block(block.stream, block.ends, &block.bytes, session);
        }
        self.block = Some(block);
        Ok(Event::Handled)
    }

    /// Understands a header block: whatever becomes of it, the tables of both sides stay the same.
    fn end_block(
        &mut self,
        stream: u32,
        ends: bool,
        block: &[u8],
        session: &Session,
    ) -> Result<Event, Code> {
        match session.state(stream) {
            State::Open if session.awaits_head(stream) => {
                return self.response(stream, ends, block, session);
            }
            State::Open => return self.trailer(stream, ends, block, session),
            State::PeerEnded | State::Ended => return Err(Code::StreamClosed),
            State::Reset => {
                self.decode(block, |_, _| {})?;
                return Ok(Event::Handled);
            }
            State::Unknown if self.with == Peer::Server => {
                if !self.has_begun(stream, session) {
                    return Err(Code::ProtocolError);
                }
                // It was so long ago that it is forgotten.
                self.decode(block, |_, _| {})?;
                return Ok(Event::Handled);
            }
            State::Unknown if stream.is_multiple_of(2) || stream <= self.last_stream => {
                return Err(Code::ProtocolError);
            }
            State::Unknown => self.last_stream = stream,
        }
        let HeadLimits {
            bytes_max,
            fields_max,
            ..
        } = self.limits;
        let mut request = std::mem::take(&mut self.request);
        request.begin(bytes_max, fields_max);
        let decoded = self.decode(block, |name, value| request.field(name, value));
        let outcome = request.end(ends);
        self.request = request;
        decoded?;
        Ok(Event::Request {
            stream,
            ends,
            outcome,
        })
    }

    fn response(
        &mut self,
        stream: u32,
        ends: bool,
        block: &[u8],
        session: &Session,
    ) -> Result<Event, Code> {
        let mut text = ResponseText::default();
        self.decode(block, |name, value| text.field(name, value))?;
        match text.end() {
            Ok(block) => session.receive_head(stream, &block, ends),
            Err(reason) => {
                tracing::debug!(reason, "a response over HTTP/2 is refused");
                session.reset(stream, Code::ProtocolError);
            }
        }
        Ok(Event::Handled)
    }

    /// Whether a stream has been begun by whoever begins streams.
    fn has_begun(&self, stream: u32, session: &Session) -> bool {
        match self.with {
            Peer::Client => stream <= self.last_stream,
            Peer::Server => stream <= session.last_begun() && !stream.is_multiple_of(2),
        }
    }

    fn trailer(
        &mut self,
        stream: u32,
        ends: bool,
        block: &[u8],
        session: &Session,
    ) -> Result<Event, Code> {
        let mut trailer = TrailerText::default();
        self.decode(block, |name, value| trailer.field(name, value))?;
        match trailer.end().filter(|_| ends) {
            Some(lines) => session.receive_end(stream, &lines),
            None => session.reset(stream, Code::ProtocolError),
        }
        Ok(Event::Handled)
    }

    fn decode(&mut self, block: &[u8], tell: impl FnMut(&[u8], &[u8])) -> Result<(), Code> {
        let decoded = self.decoder.decode(block, tell);
        self.decoder.shrink();
        decoded.map_err(|_| Code::CompressionError)
    }

    /// Frames that carry no message.
    fn control(&mut self, head: Head, payload: &[u8], session: &Session) -> Result<Event, Code> {
        let known_stream = head.stream == 0 || self.has_begun(head.stream, session);
        match head.kind {
            frame::SETTINGS => return self.settings(head, payload, session),
            frame::PING => {
                let data: [u8; 8] = payload.try_into().map_err(|_| Code::FrameSizeError)?;
                if head.stream != 0 {
                    return Err(Code::ProtocolError);
                }
                if head.has(frame::ACK) {
                    return Ok(if data == LEAVING {
                        Event::KnowsOfLeaving
                    } else {
                        Event::Handled
                    });
                }
                self.calm.pay(calm::PING)?;
                session.push(frame::PING, frame::ACK, 0, &data);
            }
            frame::WINDOW_UPDATE => {
                if payload.len() != 4 {
                    return Err(Code::FrameSizeError);
                }
                match (frame::number(payload) & 0x7fff_ffff, head.stream) {
                    (_, _) if !known_stream => return Err(Code::ProtocolError),
                    (0, 0) => return Err(Code::ProtocolError),
                    (0, stream) => session.reset(stream, Code::ProtocolError),
                    (by, stream) => session.grow(stream, by)?,
                }
            }
            frame::RST_STREAM => {
                if payload.len() != 4 {
                    return Err(Code::FrameSizeError);
                }
                if head.stream == 0 || !known_stream {
                    return Err(Code::ProtocolError);
                }
                let code = frame::number(payload);
                let at_work = session.peer_reset(head.stream, code);
                if at_work && self.with == Peer::Client {
                    self.calm.pay(calm::BROKEN_STREAM)?;
                }
            }
            frame::PRIORITY => match (payload.len(), head.stream) {
                (_, 0) => return Err(Code::ProtocolError),
                (5, _) => {}
                (_, _) if !known_stream => return Err(Code::FrameSizeError),
                (_, stream) => session.reset(stream, Code::FrameSizeError),
            },
            frame::GOAWAY => {
                if head.stream != 0 {
                    return Err(Code::ProtocolError);
                }
                if payload.len() < 8 {
                    return Err(Code::FrameSizeError);
                }
                if self.with == Peer::Server {
                    session.server_leaves(frame::number(payload) & 0x7fff_ffff);
                }
            }
            // Clients have nothing to push, and servers were told not to.
            frame::PUSH_PROMISE => return Err(Code::ProtocolError),
            // Unknown kinds are for others (RFC 9113 section 4.1).
            _ => {}
        }
        Ok(Event::Handled)
    }

    fn settings(&mut self, head: Head, payload: &[u8], session: &Session) -> Result<Event, Code> {
        if head.stream != 0 {
            return Err(Code::ProtocolError);
        }
        if head.has(frame::ACK) {
            return if payload.is_empty() {
                Ok(Event::Handled)
            } else {
                Err(Code::FrameSizeError)
            };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Code::FrameSizeError);
        }
        self.calm.pay(calm::SETTINGS)?;
        session.apply(payload)?;
        session.push(frame::SETTINGS, frame::ACK, 0, &[]);
        Ok(Event::Handled)
    }
}
