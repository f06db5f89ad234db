//! What the frames of a client come to, without a connection: for fuzzing.

use tokio::time::Instant;

use super::calm::Calm;
use super::message::Outcome;
use super::read::{Event, Reader};
use super::session::{Form, Opening, Session};
use crate::buffer::Buffer;
use crate::protocol::http::codec::HeadLimits;

/// What was heard of a client that speaks HTTP/2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The heads of its requests, in the form of HTTP/1.1.
    pub requests: Vec<Vec<u8>>,
    /// The code of the error that has ended the connection (RFC 9113 section 7).
    pub broken: Option<u32>,
}

impl Heard {
    /// Hears `bytes` in pieces of at most this size.
    pub fn of(bytes: &[u8], piece: usize, limits: HeadLimits) -> Self {
        let session = Session::new(None);
        let mut reader = Reader::new(limits, Calm::new(Instant::now()));
        let mut heard = Self::default();
        let mut buffer = Buffer::default();
        for piece in bytes.chunks(piece.max(1)) {
            buffer.make_room(buffer.len() + piece.len());
            buffer.push(piece);
            loop {
                let (taken, event) = match reader.take(buffer.bytes(), &session) {
                    Ok(taken) => taken,
                    Err(code) => {
                        heard.broken = Some(code as u32);
                        return heard;
                    }
                };
                buffer.consume(taken);
                if let Event::Request {
                    stream,
                    ends,
                    outcome: Outcome::Request { length, websocket },
                } = event
                {
                    heard.requests.push(reader.request.text.clone());
                    let form = Form::Chunked;
                    let opening = Opening {
                        form,
                        length,
                        websocket,
                        ends,
                    };
                    session.open(stream, opening);
                }
                if matches!(event, Event::Incomplete(_)) || buffer.is_empty() {
                    break;
                }
            }
        }
        heard
    }
}
