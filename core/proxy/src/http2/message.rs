//! Messages between their two forms: fields with pseudo-fields as HTTP/2 has them (RFC 9113 section 8),
//! and the head of an HTTP/1.1 message, which is what everything behind this understands. Whatever
//! could be understood in two ways in one of the forms is refused here.

use crate::protocol::http::codec::FieldKind;
use crate::protocol::http::codec::field::{content_length, is_token};

use super::hpack::{self, ENTRY_COST};

/// A request on its way into the form of HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct RequestText {
    pub(crate) text: Vec<u8>,
    method: Vec<u8>,
    scheme: Vec<u8>,
    path: Vec<u8>,
    authority: Vec<u8>,
    protocol: Vec<u8>,
    cookies: Vec<u8>,
    seen: u8,
    regular: bool,
    malformed: Option<&'static str>,
    /// What the fields take, as the setting that limits them counts it.
    size: usize,
    size_max: usize,
    fields: usize,
    fields_max: usize,
    length: Option<u64>,
    hosts: u8,
}

/// What becomes of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A request, in the text. `length` is what its Content-Length says; `websocket` whether the stream
    /// becomes one of bytes when the server agrees.
    Request {
        length: Option<u64>,
        websocket: bool,
    },
    /// It is no HTTP: the stream is at an end.
    Malformed(&'static str),
    /// It is more than anybody may send.
    TooLarge,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const PATH: u8 = 4;
const AUTHORITY: u8 = 8;
const PROTOCOL: u8 = 16;

impl RequestText {
    /// Begins another request.
    pub(crate) fn begin(&mut self, size_max: usize, fields_max: usize) {
        const KEEP: usize = 8 * 1024;
        for bytes in [
            &mut self.text,
            &mut self.method,
            &mut self.scheme,
            &mut self.path,
            &mut self.authority,
            &mut self.protocol,
            &mut self.cookies,
        ] {
            bytes.clear();
            bytes.shrink_to(KEEP);
        }
        self.seen = 0;
        self.regular = false;
        self.malformed = None;
        self.size = 0;
        self.size_max = size_max;
        self.fields = 0;
        self.fields_max = fields_max;
        self.length = None;
        self.hosts = 0;
    }

    /// Takes the next field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + ENTRY_COST;
        self.fields += 1;
        if self.malformed.is_some() || self.size > self.size_max || self.fields > self.fields_max {
            return;
        }
        let fault = match name.first() {
            Some(b':') if self.regular => Some("a pseudo-field comes behind a field"),
            Some(b':') => self.pseudo(name, value),
            _ => self.regular_field(name, value),
        };
        self.malformed = fault;
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<&'static str> {
        let (flag, place) = match name {
            b":method" => (METHOD, &mut self.method),
            b":scheme" => (SCHEME, &mut self.scheme),
            b":path" => (PATH, &mut self.path),
            b":authority" => (AUTHORITY, &mut self.authority),
            b":protocol" => (PROTOCOL, &mut self.protocol),
            _ => return Some("there is an unknown pseudo-field"),
        };
        if self.seen & flag != 0 {
            return Some("a pseudo-field comes twice");
        }
        if value.iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Some("a pseudo-field has white space or a control character");
        }
        self.seen |= flag;
        place.extend_from_slice(value);
        None
    }

    fn regular_field(&mut self, name: &[u8], value: &[u8]) -> Option<&'static str> {
        if !self.regular {
            self.regular = true;
            if let Some(fault) = self.begin_text() {
                return Some(fault);
            }
        }
        if let Some(fault) = field_fault(name, value) {
            return Some(fault);
        }
        let kind = FieldKind::of(name);
        if kind == FieldKind::Cookie {
            // Clients send them in pieces, for the compression (RFC 9113 section 8.2.3).
            if !self.cookies.is_empty() {
                self.cookies.extend_from_slice(b"; ");
            }
            self.cookies.extend_from_slice(value);
            return None;
        }
        if kind == FieldKind::Host {
            self.hosts = self.hosts.saturating_add(1);
            if self.seen & AUTHORITY != 0 {
                let same = value.eq_ignore_ascii_case(&self.authority);
                return (!same).then_some("Host and :authority differ");
            }
        }
        if kind == FieldKind::ContentLength {
            if self.length.is_some() {
                return Some("there are two Content-Length fields");
            }
            let Some(length) = content_length(value) else {
                return Some("Content-Length is not a number of bytes");
            };
            self.length = Some(length);
        }
        self.line(name, value);
        None
    }

    /// Writes what comes before the fields.
    fn begin_text(&mut self) -> Option<&'static str> {
        let websocket = self.seen & PROTOCOL != 0;
        if websocket && (self.method != b"CONNECT" || self.protocol != b"websocket") {
            return Some(":protocol is not that of a WebSocket");
        }
        let connect = self.method == b"CONNECT" && !websocket;
        let needed = if connect {
            METHOD | AUTHORITY
        } else {
            METHOD | SCHEME | PATH
        };
        if self.seen & needed != needed || connect && self.seen & (SCHEME | PATH) != 0 {
            return Some("pseudo-fields are missing or too many");
        }
        if !is_token(&self.method) {
            return Some(":method is not a token");
        }
        let rooted = self.path.first() == Some(&b'/');
        let whole_server = self.path == b"*" && self.method == b"OPTIONS";
        if !(connect || rooted || whole_server) {
            return Some(":path is not a path");
        }
        if !connect && !matches!(self.scheme.as_slice(), b"http" | b"https") {
            return Some(":scheme is not http or https");
        }
        let method = if websocket {
            b"GET"
        } else {
            self.method.as_slice()
        };
        let target = if connect { &self.authority } else { &self.path };
        for part in [method, b" ", target, b" HTTP/1.1\r\n"] {
            self.text.extend_from_slice(part);
        }
        if self.seen & AUTHORITY != 0 {
            let authority = std::mem::take(&mut self.authority);
            self.line(b"Host", &authority);
            self.authority = authority;
        }
        None
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        write_text(name, value, &mut self.text);
    }

    /// Ends the head. `ends`: nothing comes behind it. A body without a length comes in chunks.
    pub(crate) fn end(&mut self, ends: bool) -> Outcome {
        if self.size > self.size_max || self.fields > self.fields_max {
            return Outcome::TooLarge;
        }
        if !self.regular && self.malformed.is_none() {
            self.malformed = self.begin_text();
        }
        let websocket = self.seen & PROTOCOL != 0;
        let length = self.length;
        if self.hosts > 1 {
            self.malformed = Some("there is more than one Host field");
        } else if self.hosts == 0 && self.seen & AUTHORITY == 0 {
            self.malformed = self.malformed.or(Some("the request names no host"));
        } else if websocket && (ends || length.is_some()) {
            self.malformed = Some("a WebSocket cannot begin with a body or an end");
        } else if ends && length.is_some_and(|length| length > 0) {
            self.malformed = Some("the body is shorter than its Content-Length");
        }
        if let Some(fault) = self.malformed {
            return Outcome::Malformed(fault);
        }
        if !self.cookies.is_empty() {
            let cookies = std::mem::take(&mut self.cookies);
            self.line(b"Cookie", &cookies);
            self.cookies = cookies;
        }
        if websocket {
            self.line(b"Connection", b"Upgrade");
            self.line(b"Upgrade", b"websocket");
            self.line(b"Sec-WebSocket-Key", &websocket_key());
        } else if !ends && length.is_none() {
            self.line(b"Transfer-Encoding", b"chunked");
        }
        self.text.extend_from_slice(b"\r\n");
        Outcome::Request { length, websocket }
    }
}

/// What HTTP/1.1 needs to begin a WebSocket and HTTP/2 does not (RFC 8441 section 5.1).
fn websocket_key() -> Box<[u8]> {
    let mut random = [0; 16];
    // A constant would do as well: it is no secret, and only shows that the answer is to this request.
    let _filled = aws_lc_rs::rand::fill(&mut random);
    crate::tls::base64(&random)
}

/// Why this is no field that anybody may send in HTTP/2 (RFC 9113 sections 8.2.1 and 8.2.2).
pub(super) fn field_fault(name: &[u8], value: &[u8]) -> Option<&'static str> {
    if !is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Some("the name of a field is not a token of small letters");
    }
    if value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Some("the value of a field has a control character");
    }
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    if blank(value.first()) || blank(value.last()) {
        return Some("the value of a field begins or ends with white space");
    }
    let kind = FieldKind::of(name);
    if is_of_connection(kind) {
        return Some("a field is about a connection of HTTP/1.1");
    }
    let strange = kind == FieldKind::Te && !value.eq_ignore_ascii_case(b"trailers");
    strange.then_some("TE is not the single word trailers")
}

/// Whether a field is about a connection of HTTP/1.1, and has no place here.
pub(crate) fn is_of_connection(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Connection
            | FieldKind::KeepAlive
            | FieldKind::ProxyConnection
            | FieldKind::TransferEncoding
            | FieldKind::Upgrade
    )
}

/// Trailer fields on their way into the form of HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct TrailerText {
    pub(crate) text: Vec<u8>,
    size: usize,
    fault: bool,
}

impl TrailerText {
    /// Takes the next field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + ENTRY_COST;
        self.fault |= field_fault(name, value).is_some();
        if self.fault || self.size > TRAILER_MAX {
            return;
        }
        write_text(name, value, &mut self.text);
    }

    /// The lines of the trailer; nothing when they are no trailer of HTTP or too many.
    pub(crate) fn end(self) -> Option<Vec<u8>> {
        (!self.fault && self.size <= TRAILER_MAX).then_some(self.text)
    }
}

/// The most bytes of a trailer.
const TRAILER_MAX: usize = 8 * 1024;

/// The head of a response that we wrote for HTTP/1.1, as a header block. `websocket`: the acceptance of
/// another protocol means that the stream carries its bytes.
///
/// The status and how long the head was; nothing when it is not all there.
pub(crate) fn response_block(
    head: &[u8],
    websocket: bool,
    out: &mut Vec<u8>,
) -> Option<(u16, usize)> {
    let mut rest = head;
    let line = next_line(&mut rest)?;
    let digits = line.get(9..12)?;
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let switches = websocket && status == 101;
    hpack::write_status(if switches { 200 } else { status }, out);
    loop {
        let line = next_line(&mut rest)?;
        if line.is_empty() {
            return Some((status, head.len() - rest.len()));
        }
        write_line(line, switches, out);
    }
}

/// Trailer lines as a header block.
pub(crate) fn trailer_block(mut lines: &[u8], out: &mut Vec<u8>) {
    while let Some(line) = next_line(&mut lines) {
        write_line(line, false, out);
    }
}

pub(super) fn write_text(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

pub(crate) fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(b'\n', rest)?;
    let line = rest.get(..end)?;
    *rest = rest.get(end + 1..)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

pub(super) fn name_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at(memchr::memchr(b':', line)?);
    Some((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

fn write_line(line: &[u8], switches: bool, out: &mut Vec<u8>) {
    let Some((name, value)) = name_and_value(line) else {
        return;
    };
    let kind = FieldKind::of(name);
    // What answers the key that the client has not sent is not for it.
    let answers_key = switches && name.eq_ignore_ascii_case(b"sec-websocket-accept");
    if !is_of_connection(kind) && kind != FieldKind::Te && !answers_key {
        hpack::write_field(name, value, kind == FieldKind::SetCookie, out);
    }
}

/// Writes the beginning of a chunk (RFC 9112 section 7.1).
pub(crate) fn begin_chunk(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{length:x}\r\n").as_bytes());
}
