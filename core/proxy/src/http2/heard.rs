//! What the frames of a peer come to, without a connection: for fuzzing.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use super::calm::Calm;
use super::message::Outcome;
use super::read::{Event, Reader};
use super::session::{Form, Opening, Peer, Session};
use super::{Channel, Wire};
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
        let session = Session::new(Peer::Client, None);
        let mut reader = Reader::of_client(limits, Calm::new(Instant::now()));
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

/// What was heard of a server that speaks HTTP/2 and was asked three times, the last time for a head alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeardOfServer {
    /// What came of each stream, in the form of HTTP/1.1, and whether that is all.
    pub responses: Vec<(Vec<u8>, bool)>,
    /// The code of the error that has ended the connection (RFC 9113 section 7).
    pub broken: Option<u32>,
}

impl HeardOfServer {
    /// Hears `bytes` in pieces of at most this size.
    pub fn of(bytes: &[u8], piece: usize) -> Self {
        let session = Rc::new(Session::new(Peer::Server, None));
        let mut cx = Context::from_waker(Waker::noop());
        let mut streams = Vec::new();
        for method in ["GET", "POST", "HEAD"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            if let Some(mut stream) = Channel::to_server(&session) {
                let _written = Pin::new(&mut stream).poll_write(&mut cx, head.as_bytes());
                streams.push(stream);
            }
        }
        let mut wire = Wire {
            session,
            reader: Reader::of_server(Calm::new(Instant::now())),
            buffer: Buffer::default(),
        };
        let mut broken = None;
        'all: for piece in bytes.chunks(piece.max(1)) {
            wire.buffer.make_room(wire.buffer.len() + piece.len());
            wire.buffer.push(piece);
            loop {
                match wire.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(code) => {
                        broken = Some(code as u32);
                        break 'all;
                    }
                }
            }
        }
        let taken = streams.iter_mut().map(|stream| read(stream, &mut cx));
        Self {
            responses: taken.collect(),
            broken,
        }
    }
}

/// Everything that there is to be read of a stream, and whether it has come to its end in order.
fn read(stream: &mut Channel, cx: &mut Context<'_>) -> (Vec<u8>, bool) {
    let mut taken = Vec::new();
    loop {
        let mut room = [0; 4096];
        let mut out = ReadBuf::new(&mut room);
        match Pin::new(&mut *stream).poll_read(cx, &mut out) {
            Poll::Ready(Ok(())) if out.filled().is_empty() => return (taken, true),
            Poll::Ready(Ok(())) => taken.extend_from_slice(out.filled()),
            Poll::Ready(Err(_)) | Poll::Pending => return (taken, false),
        }
    }
}
