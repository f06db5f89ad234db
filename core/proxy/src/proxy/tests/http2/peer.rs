//! A client that speaks HTTP/2 as badly as a test wants, and a server that shows what it was sent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::HpackDecoder;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// One connection of a client.
pub(super) struct Peer {
    wire: Box<dyn Wire>,
    decoder: HpackDecoder,
    /// What has come of each stream.
    pub(super) streams: HashMap<u32, Answer>,
    /// What the connection was said to end with.
    pub(super) goaway: Option<(u32, u32)>,
    pub(super) pongs: Vec<[u8; 8]>,
    pub(super) settings_acks: usize,
    /// Credit that was given for the connection.
    pub(super) credit: u64,
    pub(super) frames: usize,
}

/// What has come of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) heads: Vec<Vec<(String, String)>>,
    pub(super) body: Vec<u8>,
    pub(super) ended: bool,
    pub(super) reset: Option<u32>,
    pub(super) credit: u64,
}

/// What a peer has seen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    Frame(u8, u32),
    Closed,
}

impl Answer {
    pub(super) fn status(&self) -> &str {
        self.field(self.heads.len() - 1, ":status")
            .or_else(|| self.field(0, ":status"))
            .unwrap_or("none")
    }

    pub(super) fn field(&self, head: usize, name: &str) -> Option<&str> {
        let fields = self.heads.get(head)?.iter();
        let mut found = fields.filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Peer {
    /// Connects and says what every client says first.
    pub(super) fn connect(address: SocketAddr) -> Self {
        let mut peer = Self::silent(address);
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        peer
    }

    /// Connects and says nothing.
    pub(super) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream))
    }

    pub(super) fn over(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            decoder: HpackDecoder::default(),
            streams: HashMap::new(),
            goaway: None,
            pongs: Vec::new(),
            settings_acks: 0,
            credit: 0,
            frames: 0,
        }
    }

    pub(super) fn preface(&mut self) {
        self.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    }

    /// Sends bytes; a balancer that has had enough need not take them.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        drop(self.wire.write_all(bytes).and_then(|()| self.wire.flush()));
    }

    /// Takes the next frame.
    pub(super) fn next(&mut self) -> Saw {
        let mut head = [0; 9];
        if self.wire.read_exact(&mut head).is_err() {
            return Saw::Closed;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if self.wire.read_exact(&mut payload).is_err() {
            return Saw::Closed;
        }
        self.frames += 1;
        self.note(kind, flags, stream, &payload);
        Saw::Frame(kind, stream)
    }

    fn note(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            HEADERS => {
                assert!(
                    flags & END_HEADERS != 0,
                    "the heads of these tests are small"
                );
                let mut fields = Vec::new();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                self.decoder
                    .decode(payload, |name, value| {
                        fields.push((text(name), text(value)));
                    })
                    .unwrap();
                self.streams.entry(stream).or_default().heads.push(fields);
            }
            DATA => {
                let answer = self.streams.entry(stream).or_default();
                answer.body.extend_from_slice(payload);
            }
            RST_STREAM => self.streams.entry(stream).or_default().reset = Some(number(0)),
            GOAWAY => self.goaway = Some((number(0), number(4))),
            PING if flags & ACK != 0 => self.pongs.push(payload.try_into().unwrap()),
            SETTINGS if flags & ACK != 0 => self.settings_acks += 1,
            WINDOW_UPDATE if stream == 0 => self.credit += u64::from(number(0)),
            WINDOW_UPDATE => {
                self.streams.entry(stream).or_default().credit += u64::from(number(0));
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            self.streams.entry(stream).or_default().ended = true;
        }
    }

    /// Takes frames until something is so.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            let saw = self.next();
            assert!(
                saw != Saw::Closed || is_so(self),
                "{what}: {:?}",
                self.goaway
            );
        }
    }

    /// Takes the whole answer of a stream.
    pub(super) fn answer(&mut self, stream: u32) -> Answer {
        self.until("an answer", |peer| {
            let answer = peer.streams.get(&stream);
            answer.is_some_and(|answer| answer.ended || answer.reset.is_some())
        });
        self.streams[&stream].clone()
    }

    /// Takes what comes until the connection is closed, and why it was.
    pub(super) fn end(&mut self) -> Option<u32> {
        while self.next() != Saw::Closed {}
        self.goaway.map(|(_, code)| code)
    }

    /// Asks whether the other side has dealt with everything that was sent.
    pub(super) fn ping(&mut self, data: [u8; 8]) {
        self.send(&frame(PING, 0, 0, &data));
        self.until("an answer to a ping", |peer| peer.pongs.contains(&data));
    }
}

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block that refers to no table.
pub(super) fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127 + 128);
            match u8::try_from(text.len()).unwrap() {
                length @ 0..127 => block.push(length),
                length => block.extend([127, length - 127]),
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The fields of a request, with others behind them.
pub(super) fn request<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "shop.test"),
        (":path", path),
    ];
    fields.extend_from_slice(more);
    fields
}

/// A server that answers each request with what it was sent, byte for byte. What the path names as
/// `/status/N` is the status; `/trailers` has trailer fields; `/socket` becomes a tunnel that echoes.
pub(super) struct Mirror {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<AtomicUsize>,
    /// What the latest requests were, complete or not.
    pub(super) received: Arc<Mutex<Vec<u8>>>,
}

impl Mirror {
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, received) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let own = (Arc::clone(&seen), Arc::clone(&received));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                // It ends when the other side closes.
                std::thread::spawn(move || drop(mirror(stream, &own.0, &own.1)));
            }
        });
        Self {
            address,
            seen,
            received,
        }
    }

    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn mirror(mut stream: TcpStream, seen: &AtomicUsize, received: &Mutex<Vec<u8>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    loop {
        let mut bytes = Vec::new();
        if !read_until(&mut input, &mut bytes, b"\r\n\r\n", received)? {
            return Ok(());
        }
        seen.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if head.starts_with("get /socket") {
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                          Upgrade: websocket\r\nSec-WebSocket-Accept: none\r\n\r\n";
            stream.write_all(answer.as_bytes())?;
            io::copy(&mut input, &mut stream)?;
            return Ok(());
        }
        if head.contains("transfer-encoding: chunked") {
            while !bytes.ends_with(b"0\r\n\r\n") && !bytes.ends_with(b"checksum: 5\r\n\r\n") {
                read_until(&mut input, &mut bytes, b"\r\n", received)?;
            }
        } else if let Some((_, length)) = head.split_once("content-length: ") {
            let digits: String = length.chars().take_while(char::is_ascii_digit).collect();
            let mut body = vec![0; digits.parse().unwrap()];
            input.read_exact(&mut body)?;
            bytes.extend_from_slice(&body);
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let status = path.strip_prefix("/status/").unwrap_or("200").to_owned();
        if path == "/trailers" {
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Checksum\r\n\r\n\
                          5\r\nhello\r\n0\r\nChecksum: 7\r\nContent-Length: 9\r\n\r\n";
            stream.write_all(answer.as_bytes())?;
            continue;
        }
        if path == "/early" {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")?;
        }
        if path == "/challenge" {
            stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
            )?;
            continue;
        }
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 {status} Fine\r\nContent-Length: {length}\r\nConnection: keep-alive\r\n\
             X-Own: Mirror\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&bytes)?;
    }
}

/// Reads lines until they end like this; `false` at the end of the stream.
fn read_until(
    input: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    end: &[u8],
    received: &Mutex<Vec<u8>>,
) -> io::Result<bool> {
    loop {
        let before = bytes.len();
        if input.read_until(b'\n', bytes)? == 0 {
            return Ok(false);
        }
        received.lock().unwrap().extend_from_slice(&bytes[before..]);
        if bytes.ends_with(end) {
            return Ok(true);
        }
    }
}
