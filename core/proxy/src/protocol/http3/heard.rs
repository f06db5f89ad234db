//! What the bytes of a client come to, without a connection: for fuzzing.

use bytes::Bytes;

use super::control::{Known, OneWay};
use super::qpack;
use super::read::{Event, Fault, Reader};
use crate::http2::message::{Outcome, RequestText};
use crate::protocol::http::codec::HeadLimits;

/// What was heard on the stream of one request of HTTP/3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard3 {
    /// The head of the request, in the form of HTTP/1.1.
    pub head: Option<Vec<u8>>,
    /// The body, as far as it has come.
    pub body: Vec<u8>,
    /// The code of the error that has ended the stream or the connection (RFC 9114 section 8.1).
    pub broken: Option<u32>,
}

impl Heard3 {
    /// Hears `bytes` on the stream of a request, in pieces of at most this size.
    pub fn of(bytes: &[u8], piece: usize, limits: HeadLimits) -> Self {
        let mut heard = Self::default();
        let mut reader = Reader::new(limits.bytes_max);
        for piece in bytes.chunks(piece.max(1)) {
            let mut piece = Bytes::copy_from_slice(piece);
            loop {
                let event = match reader.take(&mut piece) {
                    Ok(event) => event,
                    Err(fault) => return heard.break_off(fault),
                };
                match event {
                    Event::More => break,
                    Event::Header(block) => match request(&block, limits) {
                        Ok((text, length, websocket)) => {
                            reader.expect(length, websocket);
                            heard.head = Some(text);
                        }
                        Err(code) => return heard.break_off(code),
                    },
                    Event::Data(piece) => heard.body.extend_from_slice(&piece),
                    Event::TooLarge => return heard,
                    Event::Trailer(_) | Event::Unknown => {}
                }
            }
        }
        match reader.end() {
            Ok(()) => heard,
            Err(fault) => heard.break_off(fault),
        }
    }

    /// Hears `bytes` on a stream that goes one way: the code of the error that ends the connection.
    pub fn one_way(bytes: &[u8], piece: usize) -> Option<u32> {
        let (mut stream, mut known) = (OneWay::default(), Known::default());
        for piece in bytes.chunks(piece.max(1)) {
            if let Err(code) = stream.take(piece, &mut known) {
                return Some(code as u32);
            }
        }
        None
    }

    fn break_off(mut self, fault: Fault) -> Self {
        let (Fault::Stream(code) | Fault::Connection(code)) = fault;
        self.broken = Some(code as u32);
        self
    }
}

/// The head of a request, the length of its body, and whether it begins a WebSocket.
fn request(block: &[u8], limits: HeadLimits) -> Result<(Vec<u8>, Option<u64>, bool), Fault> {
    let mut request = RequestText::default();
    request.begin(limits.bytes_max, limits.fields_max);
    let mut room = Vec::new();
    qpack::decode(block, &mut room, |name, value| request.field(name, value))
        .map_err(|_| Fault::Connection(super::Code::DecompressionFailed))?;
    match request.end(false) {
        Outcome::Request { length, websocket } => Ok((request.text, length, websocket)),
        Outcome::TooLarge => Err(Fault::Stream(super::Code::ExcessiveLoad)),
        Outcome::Malformed(_) => Err(Fault::Stream(super::Code::MessageError)),
    }
}
