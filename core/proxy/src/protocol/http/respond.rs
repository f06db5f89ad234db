//! Answers of the balancer's own.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use lb_model::config::{FixedResponse, Redirect};
use lb_model::value::LocationPart;
use tokio::time::Instant;

use super::alt_svc::AltSvc;
use super::codec::{BadMessage, Framing, RequestHead, Version};
use super::facts::Facts;
use super::{After, Connection, Scratch};
use crate::policy::forwarded::{Hop, write_number};
use crate::policy::header::Edits;
use crate::stream::Stream;

/// An answer of our own.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
    pub(super) location: Option<Vec<u8>>,
}

impl<'a> Answer<'a> {
    pub(super) fn fixed(response: &'a FixedResponse) -> Self {
        Self {
            status: response.status.get(),
            content_type: response.content_type.as_str(),
            body: response.body.as_bytes(),
            location: None,
        }
    }

    pub(super) fn text(status: u16, body: &'a str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.as_bytes(),
            location: None,
        }
    }

    /// An answer that sends the client elsewhere.
    pub(super) fn redirect(redirect: &Redirect, hop: &Hop<'_>) -> Answer<'static> {
        let (head, bytes) = (hop.head, hop.bytes);
        let mut location = Vec::with_capacity(128);
        for part in redirect.location.parts() {
            match part {
                LocationPart::Text(text) => location.extend_from_slice(text.as_bytes()),
                LocationPart::Host => location.extend_from_slice(head.host(bytes)),
                LocationPart::Path => escape(head.path(bytes), &mut location),
                LocationPart::Port => write_number(u64::from(hop.port), &mut location),
                LocationPart::Query => escape(head.query(bytes), &mut location),
                LocationPart::Scheme => location.extend_from_slice(hop.scheme.as_bytes()),
            }
        }
        // Two slashes at the start of a path would name another host to the browser.
        if location.starts_with(b"//") {
            let path = location
                .iter()
                .position(|b| *b != b'/')
                .unwrap_or(location.len());
            location.drain(1..path);
        }
        Answer {
            status: redirect.status.get(),
            content_type: "text/plain; charset=utf-8",
            body: b"",
            location: Some(location),
        }
    }

    /// An answer that sends the client to https of the same host and path.
    pub(super) fn https(head: &RequestHead, bytes: &[u8]) -> Answer<'static> {
        let host = head.host(bytes);
        if host.is_empty() {
            return Answer::text(400, "400 Bad Request: the request names no host.\n");
        }
        let mut location = b"https://".to_vec();
        location.extend_from_slice(host);
        escape(head.path(bytes), &mut location);
        escape(head.query(bytes), &mut location);
        // 308 keeps the method; browsers remember both, and old clients know 301 alone.
        let reads = matches!(head.method(bytes), b"GET" | b"HEAD");
        Answer {
            status: if reads { 301 } else { 308 },
            content_type: "text/plain; charset=utf-8",
            body: b"",
            location: Some(location),
        }
    }

    fn write(
        &self,
        (edits, hsts, alt_svc): (&Edits<'_>, &[u8], AltSvc),
        after: After,
        version: Version,
        to_head: bool,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_number(u64::from(self.status), out);
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(location) = &self.location {
            out.extend_from_slice(b"Location: ");
            out.extend_from_slice(location);
            out.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(self.content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if !matches!(self.status, 204 | 304) {
            out.extend_from_slice(b"Content-Length: ");
            write_number(self.body.len() as u64, out);
            out.extend_from_slice(b"\r\n");
        }
        edits.write(out);
        out.extend_from_slice(hsts);
        alt_svc.write(out);
        if after != After::Keep {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if version == Version::Http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !to_head {
            out.extend_from_slice(self.body);
        }
    }
}

impl<S: Stream> Connection<S> {
    /// Answers a request that was understood.
    pub(super) async fn answer(
        &mut self,
        head: &RequestHead,
        bytes: &[u8],
        answer: &Answer<'_>,
        edits: &Edits<'_>,
        out: &mut Vec<u8>,
        facts: &mut Facts<'_>,
    ) -> After {
        // The body of the request has not been read: the next request cannot be found behind it.
        let after = if head.framing != Framing::None {
            After::Linger
        } else if head.keep_alive && self.keeps() {
            After::Keep
        } else {
            After::Close
        };
        let to_head = head.method(bytes) == b"HEAD";
        out.clear();
        let alt_svc = self.alt_svc(head.version);
        self.live.look(|service| {
            let extra = (edits, service.security.hsts(), alt_svc);
            answer.write(extra, after, head.version, to_head, out);
        });
        facts.status = Some(answer.status);
        facts.bytes_sent += out.len() as u64;
        if self.write_all(out).await && self.client.stream.end_message(&[]).is_ok() {
            after
        } else {
            After::Close
        }
    }

    /// Answers a message that is refused, and ends the connection: where the next message would
    /// begin is anybody's guess.
    pub(super) async fn refuse(
        &mut self,
        scratch: &mut Scratch,
        mut facts: Facts<'_>,
        message: BadMessage,
    ) -> After {
        let body = format!(
            "{} {}: {}.\n",
            message.status,
            reason(message.status),
            message.reason
        );
        scratch.to_client.clear();
        let answer = Answer::text(message.status, &body);
        let (edits, version) = (Edits::default(), Version::Http11);
        let out = &mut scratch.to_client;
        self.live.look(|service| {
            let extra = (&edits, service.security.hsts(), AltSvc::Nothing);
            answer.write(extra, After::Linger, version, false, out);
        });
        facts.status = Some(message.status);
        facts.bytes_sent = scratch.to_client.len() as u64;
        let sent =
            self.write_all(&scratch.to_client).await && self.client.stream.end_message(&[]).is_ok();
        self.finish(None, &facts);
        if sent { After::Linger } else { After::Close }
    }

    /// Writes bytes to the client; `false` when it is gone or too slow.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> bool {
        let Self {
            client,
            deadline,
            live,
            ..
        } = self;
        let timeout = live.look(|service| service.timeouts.header.duration());
        deadline.set(Instant::now() + timeout);
        let mut rest = bytes;
        poll_fn(|cx| {
            while !rest.is_empty() {
                match Pin::new(&mut client.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => return deadline.poll_passed(cx).map(|()| false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }
}

/// Copies part of a target into a location. What was sent raw is percent-encoded, so that it cannot
/// end the header line or the URL.
fn escape(part: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in part {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(byte) {
            out.push(*byte);
        } else {
            out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
}

/// The reason phrase of a status (RFC 9110 section 15).
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
