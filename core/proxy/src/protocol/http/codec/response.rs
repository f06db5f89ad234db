//! The head of a response, with the same strictness: a server that is confused about framing would
//! hand one client's bytes to another.

use std::mem::MaybeUninit;

use httparse::Status;

use super::body::Framing;
use super::field::{ConnectionOptions, FieldKind, Fields, Span, content_length};
use super::request::is_windows_auth;
use super::{BadMessage, Version};

/// The most bytes of a response head.
pub(crate) const BYTES_MAX: usize = 256 * 1024;
/// The most fields of a response.
pub(crate) const FIELDS_MAX: usize = 256;

/// The head of a response. The bytes it was parsed from are kept by the caller.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// The length of the head in bytes.
    pub length: usize,
    /// Its version.
    pub version: Version,
    /// Its status, 100 to 599 or above.
    pub status: u16,
    /// Its fields.
    pub fields: Fields,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the server keeps the connection open after this exchange.
    pub keep_alive: bool,
    /// Whether the server asks for Windows authentication.
    pub windows_auth: bool,
    pub(crate) nominates: bool,
    reason: Span,
}

impl ResponseHead {
    /// Parses the head at the front of `bytes`, which answers a request with this method.
    /// `Ok(false)`: it is not complete yet.
    pub fn parse(&mut self, bytes: &[u8], to_head_request: bool) -> Result<bool, BadMessage> {
        // `httparse` skips empty lines, which may be the rest of a response that another program
        // takes to be longer.
        if matches!(bytes.first(), Some(b'\r' | b'\n')) {
            return Err(BadMessage::bad_response(
                "there is a stray line end before the response",
            ));
        }
        let mut storage = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let outcome = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut storage);
        let length = match outcome {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() > BYTES_MAX => {
                return Err(BadMessage::bad_response(
                    "the header of the response is too large",
                ));
            }
            Ok(Status::Partial) => return Ok(false),
            Err(_) => {
                return Err(BadMessage::bad_response(
                    "the header of the response is not well formed",
                ));
            }
        };
        let (Some(status), Some(reason)) = (parsed.code, parsed.reason) else {
            return Err(BadMessage::bad_response("the status line is incomplete"));
        };
        if !(100..=599).contains(&status) {
            return Err(BadMessage::bad_response("the status is outside 100 to 599"));
        }
        let head = bytes.get(..length).unwrap_or_default();
        self.length = length;
        self.status = status;
        self.version = if parsed.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        };
        self.reason = if reason.is_empty() {
            Span::default()
        } else {
            Span::within(head, reason.as_bytes())
        };
        let line_ends = self.fields.fill(head, parsed.headers);
        let status_line = memchr::memchr(b'\n', head).unwrap_or(0);
        if !line_ends || status_line == 0 || head.get(status_line - 1) != Some(&b'\r') {
            return Err(BadMessage::bad_response("a line does not end with CR LF"));
        }
        self.check(head, to_head_request)?;
        Ok(true)
    }

    fn check(&mut self, head: &[u8], to_head_request: bool) -> Result<(), BadMessage> {
        let (mut length, mut chunked) = (None, false);
        let mut options = ConnectionOptions::default();
        self.windows_auth = false;
        for field in self.fields.iter() {
            let value = field.value(head);
            if field.kind == FieldKind::ContentLength {
                let number = content_length(value).filter(|_| length.is_none());
                length = Some(number.ok_or(BadMessage::bad_response(
                    "Content-Length is not one number of bytes",
                ))?);
            } else if field.kind == FieldKind::TransferEncoding {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadMessage::bad_response(
                        "Transfer-Encoding is not the single word chunked",
                    ));
                }
                chunked = true;
            } else if field.kind == FieldKind::Connection {
                options.read(value);
            } else if matches!(
                field.kind,
                FieldKind::WwwAuthenticate | FieldKind::ProxyAuthenticate
            ) {
                self.windows_auth |= is_windows_auth(value);
            }
        }
        if chunked && (length.is_some() || self.version == Version::Http10) {
            return Err(BadMessage::bad_response(
                "the framing of the response is contradictory",
            ));
        }
        self.framing = match length {
            _ if to_head_request || self.has_no_body() => Framing::None,
            _ if chunked => Framing::Chunked,
            Some(0) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        };
        self.nominates = options.nominates;
        self.keep_alive = self.framing != Framing::UntilClose
            && !options.close
            && (self.version == Version::Http11 || options.keep_alive);
        Ok(())
    }

    /// Statuses that never have a body (RFC 9110 sections 6.4.1 and 15).
    pub(crate) fn has_no_body(&self) -> bool {
        self.status < 200 || matches!(self.status, 204 | 304)
    }

    /// The reason phrase, as the server wrote it.
    pub fn reason<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.reason.of(bytes)
    }

    /// Whether `Connection` names this field as belonging to the connection.
    pub(crate) fn is_nominated(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.nominates && self.fields.nominate(bytes, name)
    }
}
