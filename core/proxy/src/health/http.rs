//! A probe over HTTP/1.1, on a connection of its own that is closed afterwards. What it reads is
//! bounded: the server may be broken, that is why it is probed.

use std::fmt::Write;
use std::net::SocketAddr;

use lb_model::config::HttpProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use lb_model::value::HeaderText;

use super::{Aim, ProbeFailure, http2};
use crate::tls::Speak;
use crate::upstream::ServerSocket;

/// The longest head of a response.
const HEAD_MAX: usize = 64 * 1024;
/// How much of a body is looked at.
const BODY_MAX: usize = 64 * 1024;
/// The most header fields of a response.
const FIELDS_MAX: usize = 256;
/// The longest line that announces a chunk.
const CHUNK_LINE_MAX: usize = 1024;

pub(super) async fn probe(probe: &HttpProbe, target: &Aim<'_>) -> Result<String, ProbeFailure> {
    let HttpProbe {
        method,
        expect,
        body,
        // For `request`.
        path: _,
        host: _,
        headers: _,
    } = probe;
    let host = probe.host.as_ref().map(|host| name_of(host.as_str()));
    let request = request(probe, target.address, target.tls.is_some());
    if target.speak == Speak::Http2 {
        let mut stream = target.connect(host, Speak::Http2).await?;
        let answer = http2::ask(&mut stream, request.as_bytes(), &[]).await?;
        return judge(probe, answer.status, body.as_ref().map(|_| answer.body));
    }
    let mut answer = Answer {
        stream: target.connect(host, Speak::Http1).await?,
        buffer: Vec::with_capacity(1024),
    };
    let sent = answer.stream.write_all(request.as_bytes()).await;
    sent.map_err(|source| ProbeFailure::Send { source })?;
    let head = answer.head().await?;
    let status = head.status;
    if !expect.iter().any(|range| range.contains(status)) || body.is_none() {
        return judge(probe, status, None);
    }
    let framing = if method.as_str() == "HEAD" || matches!(status, 204 | 304) {
        Framing::Length(0)
    } else {
        head.framing
    };
    let bytes = answer.body(framing).await?;
    judge(probe, status, Some(bytes))
}

/// What an answer says about the server.
fn judge(probe: &HttpProbe, status: u16, body: Option<Vec<u8>>) -> Result<String, ProbeFailure> {
    if !probe.expect.iter().any(|range| range.contains(status)) {
        return Err(ProbeFailure::Status { status });
    }
    match (&probe.body, body) {
        (Some(pattern), Some(bytes)) if !pattern.is_match(&bytes) => Err(ProbeFailure::Body {
            expected: pattern.to_string(),
        }),
        (_, _) => Ok(format!("status {status}")),
    }
}

/// A host without its port.
pub(super) fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty() => name,
        Some(_) | None => host,
    }
}

/// The `Host` field of a probe.
pub(super) fn host_field(
    host: Option<&HeaderText>,
    address: SocketAddr,
    is_secure: bool,
) -> String {
    let default_port = if is_secure { 443 } else { 80 };
    match host {
        Some(host) => host.to_string(),
        // Clients leave out the port of the scheme, and sites are bound to names without it.
        None if address.port() == default_port && address.is_ipv6() => {
            format!("[{}]", address.ip())
        }
        None if address.port() == default_port => address.ip().to_string(),
        None => address.to_string(),
    }
}

/// The request as it is sent. Fields that the operator gave take the place of ours.
fn request(probe: &HttpProbe, address: SocketAddr, is_secure: bool) -> String {
    let host = host_field(probe.host.as_ref(), address, is_secure);
    let carries_body = matches!(probe.method.as_str(), "PATCH" | "POST" | "PUT");
    let ours = [
        ("Host", host.as_str()),
        ("User-Agent", "lbctl"),
        ("Accept", "*/*"),
        ("Connection", "close"),
        ("Content-Length", "0"),
    ];
    let mut request = format!("{} {} HTTP/1.1\r\n", probe.method, probe.path);
    let mut add = |name: &str, value: &str| {
        write!(request, "{name}: {value}\r\n").expect("writing to a String cannot fail");
    };
    for (name, value) in ours {
        let given = probe.headers.keys().any(|k| k.matches(name.as_bytes()));
        if !given && (carries_body || name != "Content-Length") {
            add(name, value);
        }
    }
    for (name, value) in &probe.headers {
        add(name.as_str(), value.as_str());
    }
    request.push_str("\r\n");
    request
}

/// A response as it comes in.
struct Answer {
    stream: ServerSocket,
    /// What was received and not yet used.
    buffer: Vec<u8>,
}

/// What matters of a head.
struct Head {
    status: u16,
    framing: Framing,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(u64),
    UntilClose,
}

impl Answer {
    /// The head of the final response; those before it (1xx) are skipped.
    async fn head(&mut self) -> Result<Head, ProbeFailure> {
        let mut used = 0;
        loop {
            if let Some((length, head)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                if head.status >= 200 {
                    return Ok(head);
                }
                used += length;
            } else {
                if used + self.buffer.len() >= HEAD_MAX {
                    return Err(ProbeFailure::Malformed {
                        what: "its head is too long",
                    });
                }
                self.receive(HEAD_MAX).await?.ok_or(ProbeFailure::Closed)?;
            }
        }
    }

    /// The beginning of the body.
    async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, ProbeFailure> {
        let mut body = Vec::new();
        match framing {
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                self.take(&mut body, size).await?;
                if size == 0 || body.len() >= BODY_MAX {
                    return Ok(body);
                }
                self.take(&mut Vec::new(), 2).await?;
            },
            Framing::Length(length) => self.take(&mut body, length).await?,
            Framing::UntilClose => {
                while self.buffer.len() < BODY_MAX && self.receive(BODY_MAX).await?.is_some() {}
                body = std::mem::take(&mut self.buffer);
                body.truncate(BODY_MAX);
            }
        }
        Ok(body)
    }

    /// The announced size of the next chunk.
    async fn chunk_size(&mut self) -> Result<u64, ProbeFailure> {
        loop {
            let what = "its chunks are malformed";
            let parsed = httparse::parse_chunk_size(&self.buffer);
            match parsed.map_err(|_| ProbeFailure::Malformed { what })? {
                httparse::Status::Complete((used, size)) => {
                    self.buffer.drain(..used);
                    return Ok(size);
                }
                httparse::Status::Partial if self.buffer.len() > CHUNK_LINE_MAX => {
                    return Err(ProbeFailure::Malformed { what });
                }
                httparse::Status::Partial => {
                    let room = self.buffer.len() + CHUNK_LINE_MAX;
                    self.receive(room).await?.ok_or(ProbeFailure::Closed)?;
                }
            }
        }
    }

    /// Moves the next `length` bytes to the body, or as many as are looked at.
    async fn take(&mut self, body: &mut Vec<u8>, length: u64) -> Result<(), ProbeFailure> {
        let room = BODY_MAX.saturating_sub(body.len());
        let length = usize::try_from(length).map_or(room, |length| length.min(room));
        while self.buffer.len() < length {
            self.receive(length).await?.ok_or(ProbeFailure::Closed)?;
        }
        body.extend(self.buffer.drain(..length));
        Ok(())
    }

    /// Receives until there are at most `length` bytes in the buffer; nothing at the end.
    async fn receive(&mut self, length: usize) -> Result<Option<()>, ProbeFailure> {
        let room = length.saturating_sub(self.buffer.len()).max(1);
        let mut rest = (&mut self.stream).take(room as u64);
        let read = rest.read_buf(&mut self.buffer).await;
        let read = read.map_err(|source| ProbeFailure::Receive { source })?;
        Ok((read > 0).then_some(()))
    }
}

/// The head at the beginning of the bytes, and its length; nothing when it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, ProbeFailure> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let parsed = parsed.map_err(|source| ProbeFailure::NotHttp { source })?;
    let (httparse::Status::Complete(length), Some(status)) = (parsed, response.code) else {
        return Ok(None);
    };
    let framing = framing(response.headers)?;
    Ok(Some((length, Head { status, framing })))
}

/// RFC 9112, section 6.3.
fn framing(fields: &[httparse::Header<'_>]) -> Result<Framing, ProbeFailure> {
    let field = |name: &str| {
        let found = fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        found.map(|field| field.value.trim_ascii())
    };
    if let Some(codings) = field("Transfer-Encoding") {
        let last = codings.rsplit(|byte| *byte == b',').next();
        let last = last.unwrap_or_default().trim_ascii();
        return Ok(if last.eq_ignore_ascii_case(b"chunked") {
            Framing::Chunked
        } else {
            Framing::UntilClose
        });
    }
    let Some(length) = field("Content-Length") else {
        return Ok(Framing::UntilClose);
    };
    std::str::from_utf8(length)
        .ok()
        .and_then(|length| length.parse().ok())
        .map(Framing::Length)
        .ok_or(ProbeFailure::Malformed {
            what: "its Content-Length is not a number",
        })
}
