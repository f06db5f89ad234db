//! Messages with servers between their two forms: requests that we write for HTTP/1.1 become header
//! blocks, and header blocks of responses become heads of HTTP/1.1.

use crate::protocol::http::codec::field::content_length;
use crate::protocol::http::codec::{FieldKind, response};

use super::hpack::{self, ENTRY_COST};
use super::message::{field_fault, is_of_connection, name_and_value, next_line, write_text};

/// The head of a response on its way into the form of HTTP/1.1.
#[derive(Debug, Default)]
pub(crate) struct ResponseText {
    text: Vec<u8>,
    status: Option<u16>,
    size: usize,
    fields: usize,
    length: Option<u64>,
    malformed: Option<&'static str>,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseBlock {
    /// As HTTP/1.1 has it, but for what says how its body is framed and for the empty line.
    pub(crate) text: Vec<u8>,
    pub(crate) status: u16,
    /// What its Content-Length says.
    pub(crate) length: Option<u64>,
}

impl ResponseText {
    /// Takes the next field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + ENTRY_COST;
        self.fields += 1;
        if self.malformed.is_some() || self.is_too_large() {
            return;
        }
        self.malformed = if name.first() == Some(&b':') {
            self.pseudo(name, value)
        } else {
            self.regular_field(name, value)
        };
    }

    fn is_too_large(&self) -> bool {
        self.size > response::BYTES_MAX || self.fields > response::FIELDS_MAX
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<&'static str> {
        if name != b":status" || self.status.is_some() || !self.text.is_empty() {
            return Some("there is a pseudo-field that no response has, or not there");
        }
        let digits = value.len() == 3 && value.iter().all(u8::is_ascii_digit);
        let status = std::str::from_utf8(value).ok().filter(|_| digits);
        self.status = status.and_then(|status| status.parse().ok());
        // Switching protocols is nothing that HTTP/2 has (RFC 9113 section 8.6).
        if self
            .status
            .is_none_or(|status| status < 100 || status == 101)
        {
            return Some(":status is not one of HTTP/2");
        }
        for part in [b"HTTP/1.1 ", value, b" \r\n"] {
            self.text.extend_from_slice(part);
        }
        None
    }

    fn regular_field(&mut self, name: &[u8], value: &[u8]) -> Option<&'static str> {
        if self.status.is_none() {
            return Some("a field comes before :status");
        }
        if let Some(fault) = field_fault(name, value) {
            return Some(fault);
        }
        if FieldKind::of(name) == FieldKind::ContentLength {
            if self.length.is_some() {
                return Some("there are two Content-Length fields");
            }
            let Some(length) = content_length(value) else {
                return Some("Content-Length is not a number of bytes");
            };
            self.length = Some(length);
        }
        write_text(name, value, &mut self.text);
        None
    }

    /// Ends the head.
    ///
    /// # Errors
    /// It is no head of a response of HTTP.
    pub(crate) fn end(self) -> Result<ResponseBlock, &'static str> {
        if self.is_too_large() {
            return Err("the header of the response is too large");
        }
        if let Some(fault) = self.malformed {
            return Err(fault);
        }
        Ok(ResponseBlock {
            text: self.text,
            status: self.status.ok_or("the response has no :status")?,
            length: self.length,
        })
    }
}

/// The head of a request that we wrote for HTTP/1.1, as a header block.
///
/// Whether it asks for a head alone, and how long its text was; nothing when it is not all there.
pub(crate) fn request_block(
    head: &[u8],
    scheme: &[u8],
    out: &mut Vec<u8>,
) -> Option<(bool, usize)> {
    let mut rest = head;
    let line = next_line(&mut rest)?;
    let mut words = line.split(|b| *b == b' ');
    let (method, target) = (words.next()?, words.next()?);
    for (name, value) in [
        (&b":method"[..], method),
        (b":scheme", scheme),
        (b":path", target),
    ] {
        hpack::write_pseudo(name, value, out);
    }
    let fields = rest;
    let mut host = None;
    loop {
        let line = next_line(&mut rest)?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = name_and_value(line)
            && FieldKind::of(name) == FieldKind::Host
        {
            host = Some(value);
        }
    }
    hpack::write_field(b":authority", host.unwrap_or_default(), false, out);
    let length = head.len() - rest.len();
    let mut fields = fields;
    while let Some(line) = next_line(&mut fields).filter(|line| !line.is_empty()) {
        let Some((name, value)) = name_and_value(line) else {
            continue;
        };
        let kind = FieldKind::of(name);
        if !is_of_connection(kind) && kind != FieldKind::Host {
            let secret = matches!(kind, FieldKind::Cookie | FieldKind::Authorization);
            hpack::write_field(name, value, secret, out);
        }
    }
    Some((method == b"HEAD", length))
}
