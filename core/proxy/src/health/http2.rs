//! One request over HTTP/2, on a connection of its own that is closed afterwards. What is read is
//! bounded: the server may be broken, that is why it is probed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ProbeFailure;
use crate::http2::frame::{self, HEAD, Head, PAYLOAD_MAX, PREFACE};
use crate::http2::hpack::Decoder;
use crate::http2::server::request_block;
use crate::stream::Stream as _;
use crate::upstream::ServerSocket;

/// The one stream.
const STREAM: u32 = 1;
/// How much of a body is looked at.
const BODY_MAX: usize = 64 * 1024;
/// The longest header block.
const BLOCK_MAX: usize = 64 * 1024;
/// The most frames that an answer may take.
const FRAMES_MAX: usize = 1024;

/// What a server has answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The final status; 0 before it came.
    pub(super) status: u16,
    /// The beginning of the body.
    pub(super) body: Vec<u8>,
    /// `grpc-status` and `grpc-message`, wherever they stood.
    pub(super) grpc_status: Option<String>,
    pub(super) grpc_message: Option<String>,
}

/// Sends a request, whose head is in the form of HTTP/1.1, and takes the answer.
pub(super) async fn ask(
    stream: &mut ServerSocket,
    head: &[u8],
    body: &[u8],
) -> Result<Answer, ProbeFailure> {
    let bytes = request(stream, head, body);
    let sent = stream.write_all(&bytes).await;
    sent.map_err(|source| ProbeFailure::Send { source })?;
    let mut hearing = Hearing {
        stream,
        decoder: Decoder::default(),
        answer: Answer::default(),
        block: Vec::new(),
    };
    for _ in 0..FRAMES_MAX {
        if hearing.frame().await? {
            return Ok(hearing.answer);
        }
    }
    Err(malformed("it sends frames without end"))
}

const fn malformed(what: &'static str) -> ProbeFailure {
    ProbeFailure::NotHttp2 { what }
}

fn request(stream: &ServerSocket, head: &[u8], body: &[u8]) -> Vec<u8> {
    // Nothing is pushed, and all of the body that is looked at may come at once.
    const SETTINGS: [u8; 12] = [0, 2, 0, 0, 0, 0, 0, 4, 0, 2, 0, 0];
    const MORE: [u8; 4] = [0, 1, 0, 0];
    let scheme = if stream.tls().is_some() {
        &b"https"[..]
    } else {
        b"http"
    };
    let mut bytes = PREFACE.to_vec();
    frame::write(frame::SETTINGS, 0, 0, &SETTINGS, &mut bytes);
    frame::write(frame::WINDOW_UPDATE, 0, 0, &MORE, &mut bytes);
    let mut block = Vec::new();
    // What we wrote ourselves is a whole head.
    let _length = request_block(head, scheme, &mut block);
    let ends = if body.is_empty() {
        frame::END_STREAM
    } else {
        0
    };
    let mut pieces = block.chunks(PAYLOAD_MAX).peekable();
    let mut kind = (frame::HEADERS, ends);
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() {
            frame::END_HEADERS
        } else {
            0
        };
        frame::write(kind.0, kind.1 | last, STREAM, piece, &mut bytes);
        kind = (frame::CONTINUATION, 0);
    }
    if !body.is_empty() {
        frame::write(frame::DATA, frame::END_STREAM, STREAM, body, &mut bytes);
    }
    bytes
}

/// An answer as it comes in.
struct Hearing<'a> {
    stream: &'a mut ServerSocket,
    decoder: Decoder,
    answer: Answer,
    /// A header block that has not come to its end.
    block: Vec<u8>,
}

impl Hearing<'_> {
    /// Takes the next frame. Whether the answer is complete.
    async fn frame(&mut self) -> Result<bool, ProbeFailure> {
        let mut head = [0; HEAD];
        self.read(&mut head).await?;
        let head = Head::parse(&head).ok_or(malformed("a frame is cut off"))?;
        if head.length > PAYLOAD_MAX {
            return Err(malformed("a frame is too long"));
        }
        let mut payload = vec![0; head.length];
        self.read(&mut payload).await?;
        match (head.kind, head.stream) {
            (frame::SETTINGS, 0) if !head.has(frame::ACK) => {
                self.say(frame::SETTINGS, &[]).await?;
            }
            (frame::PING, 0) if !head.has(frame::ACK) => self.say(frame::PING, &payload).await?,
            (frame::GOAWAY, 0) => {
                let last = frame::number(&payload) & 0x7fff_ffff;
                if last < STREAM {
                    return Err(malformed("the server refuses the connection (GOAWAY)"));
                }
            }
            (frame::RST_STREAM, STREAM) => {
                let code = frame::number(&payload);
                return Err(ProbeFailure::Reset { code });
            }
            (frame::HEADERS | frame::CONTINUATION, STREAM) => self.fields(head, &payload)?,
            (frame::DATA, STREAM) => self.data(head, &payload)?,
            // The others change nothing about what is asked.
            _ => {}
        }
        let complete = self.answer.status >= 200 && self.block.is_empty();
        let enough = self.answer.body.len() >= BODY_MAX;
        let ends = matches!(head.kind, frame::DATA | frame::HEADERS) && head.stream == STREAM;
        Ok(complete && (enough || ends && head.has(frame::END_STREAM)))
    }

    fn fields(&mut self, head: Head, payload: &[u8]) -> Result<(), ProbeFailure> {
        let fragment = if head.kind == frame::HEADERS {
            head.fragment(payload)
                .map_err(|_| malformed("a header block is broken"))?
        } else {
            payload
        };
        self.block.extend_from_slice(fragment);
        if self.block.len() > BLOCK_MAX {
            return Err(malformed("its header is too long"));
        }
        if !head.has(frame::END_HEADERS) {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let answer = &mut self.answer;
        let decoded = self.decoder.decode(&block, |name, value| {
            let text = || -> String {
                let text = String::from_utf8_lossy(value);
                text.chars().filter(|c| !c.is_control()).take(200).collect()
            };
            match name {
                b":status" => answer.status = text().parse().unwrap_or(0),
                b"grpc-status" => answer.grpc_status = Some(text()),
                b"grpc-message" => answer.grpc_message = Some(text()),
                _ => {}
            }
        });
        decoded.map_err(|_| malformed("a header block is broken"))
    }

    fn data(&mut self, head: Head, payload: &[u8]) -> Result<(), ProbeFailure> {
        let (padding, rest) = match payload.split_first() {
            Some((padding, rest)) if head.has(frame::PADDED) => (usize::from(*padding), rest),
            Some(_) | None => (0, payload),
        };
        let length = rest.len().checked_sub(padding);
        let length = length.ok_or(malformed("a frame has more padding than bytes"))?;
        let room = BODY_MAX - self.answer.body.len();
        let piece = rest.get(..length.min(room)).unwrap_or_default();
        self.answer.body.extend_from_slice(piece);
        Ok(())
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), ProbeFailure> {
        match self.stream.read_exact(bytes).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(ProbeFailure::Closed)
            }
            Err(source) => Err(ProbeFailure::Receive { source }),
        }
    }

    async fn say(&mut self, kind: u8, payload: &[u8]) -> Result<(), ProbeFailure> {
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        frame::write(kind, frame::ACK, 0, payload, &mut bytes);
        let sent = self.stream.write_all(&bytes).await;
        sent.map_err(|source| ProbeFailure::Send { source })
    }
}
