//! The head of a request: parsed, framed, and checked for everything that is ambiguous.

use httparse::Status;

use super::body::Framing;
use super::field::{ConnectionOptions, FieldKind, Fields, Span, content_length, is_token, tokens};
use super::target::{self, Target};
use super::{BadMessage, Version};

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The most bytes of request line and fields.
    pub bytes_max: usize,
    /// The most fields.
    pub fields_max: usize,
    /// The longest request target, in bytes.
    pub target_bytes_max: usize,
}

/// The head of a request. The bytes it was parsed from are kept by the caller and handed to each
/// method; a head never holds a copy.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one message"
)]
pub struct RequestHead {
    /// The length of the head in bytes.
    pub length: usize,
    /// Its version.
    pub version: Version,
    /// Its fields.
    pub fields: Fields,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the client keeps the connection open after this exchange.
    pub keep_alive: bool,
    /// Whether the client waits for 100 (Continue) before it sends the body.
    pub expects_continue: bool,
    /// Whether the client asks to change the protocol of the connection.
    pub upgrade: bool,
    /// Whether the request carries Windows authentication, which binds a user to the connection.
    pub windows_auth: bool,
    pub(crate) nominates: bool,
    method: Span,
    target: Span,
    parts: Target,
    host: Span,
}

impl RequestHead {
    /// Parses the head at the front of `bytes`. `Ok(false)`: it is not complete yet.
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<bool, BadMessage> {
        let Some(line) = RequestLine::parse(bytes, limits)? else {
            return Ok(false);
        };
        let fields = bytes.get(line.length..).unwrap_or_default();
        let mut few = [httparse::EMPTY_HEADER; 64];
        let slots = few.get_mut(..limits.fields_max.min(64)).unwrap_or_default();
        match httparse::parse_headers(fields, slots) {
            Ok(Status::Partial) if bytes.len() > limits.bytes_max => Err(too_large()),
            Ok(Status::Partial) => Ok(false),
            Ok(Status::Complete((length, found))) => {
                self.accept(bytes, &line, length, found, limits)
            }
            Err(httparse::Error::TooManyHeaders) if limits.fields_max > 64 => {
                // Rare enough to parse twice, so that every other request is spared the memory.
                let mut many = vec![httparse::EMPTY_HEADER; limits.fields_max];
                match httparse::parse_headers(fields, &mut many) {
                    Ok(Status::Partial) if bytes.len() > limits.bytes_max => Err(too_large()),
                    Ok(Status::Partial) => Ok(false),
                    Ok(Status::Complete((length, found))) => {
                        self.accept(bytes, &line, length, found, limits)
                    }
                    Err(error) => Err(refusal(error)),
                }
            }
            Err(error) => Err(refusal(error)),
        }
    }

    fn accept(
        &mut self,
        bytes: &[u8],
        line: &RequestLine,
        fields_length: usize,
        found: &[httparse::Header<'_>],
        limits: &HeadLimits,
    ) -> Result<bool, BadMessage> {
        self.length = line.length + fields_length;
        if self.length > limits.bytes_max {
            return Err(too_large());
        }
        self.version = line.version;
        self.method = line.method;
        self.target = line.target;
        let head = bytes.get(..self.length).unwrap_or_default();
        if !self.fields.fill(head, found) {
            return Err(BadMessage::bad_request("a line does not end with CR LF"));
        }
        self.check(head)?;
        Ok(true)
    }

    fn check(&mut self, head: &[u8]) -> Result<(), BadMessage> {
        self.parts = target::parse(self.method.of(head), self.target.of(head))?;
        let mut seen = Seen::default();
        for field in self.fields.iter() {
            seen.read(field.kind, field.value(head))?;
            if field.kind == FieldKind::Host {
                self.host = Span::within(head, target::host_name(field.value(head))?);
            }
        }
        self.check_host(head, &seen)?;
        self.framing = seen.framing(self.version)?;
        let (http11, options) = (self.version == Version::Http11, seen.options);
        self.keep_alive = !options.close && (http11 || options.keep_alive);
        self.expects_continue = seen.expects && http11 && self.framing != Framing::None;
        // An upgrade to HTTP/2 is between the client and us, and a body would leave it unclear
        // where the new protocol begins.
        self.upgrade = http11
            && options.upgrade
            && seen.upgrade
            && !seen.upgrade_to_http2
            && self.framing == Framing::None;
        self.nominates = options.nominates;
        self.windows_auth = seen.windows_auth;
        Ok(())
    }

    fn check_host(&mut self, head: &[u8], seen: &Seen) -> Result<(), BadMessage> {
        if seen.hosts > 1 {
            return Err(BadMessage::bad_request("there is more than one Host field"));
        }
        if seen.hosts == 0 && self.version == Version::Http11 {
            return Err(BadMessage::bad_request("there is no Host field"));
        }
        let Some(authority) = self.parts.authority else {
            return Ok(());
        };
        let authority = authority.of(self.target.of(head));
        let name = target::host_name(authority)?;
        let same = |host: &[u8]| host.eq_ignore_ascii_case(authority);
        if !self
            .fields
            .of(FieldKind::Host)
            .all(|field| same(field.value(head)))
        {
            return Err(BadMessage::bad_request(
                "the target and the Host field differ",
            ));
        }
        self.host = Span::within(head, name);
        Ok(())
    }

    /// The method, such as `GET`.
    pub fn method<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.method.of(bytes)
    }

    /// The target exactly as the client sent it.
    pub fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.target.of(bytes)
    }

    /// The path, without the query.
    pub fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let path = self.parts.path.of(self.target.of(bytes));
        // `http://host` and `http://host?query` mean the root.
        if path.is_empty() { b"/" } else { path }
    }

    /// Whether the request is for the server and none of its resources: `OPTIONS` with the target `*`,
    /// or with a URL that has neither path nor query (RFC 9112 section 3.2.4).
    pub fn is_for_whole_server(&self, bytes: &[u8]) -> bool {
        let resource = (self.parts.path.of(self.target.of(bytes)), self.query(bytes));
        self.method(bytes) == b"OPTIONS" && matches!(resource, (b"" | b"*", b""))
    }

    /// The query with its question mark, or nothing.
    pub fn query<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.parts.query.of(self.target.of(bytes))
    }

    /// The host that the request is for, without its port, as it was written; empty when an HTTP/1.0
    /// request names none.
    pub fn host<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.host.of(bytes)
    }

    /// The host and, if given, the port that the request is for.
    pub fn authority<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.parts.authority {
            Some(authority) => authority.of(self.target.of(bytes)),
            None => self
                .fields
                .of(FieldKind::Host)
                .next()
                .map_or(b"", |field| field.value(bytes)),
        }
    }

    /// The value of a cookie; the first one when it is sent twice.
    pub fn cookie<'a>(&self, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
        self.fields.of(FieldKind::Cookie).find_map(|field| {
            field.value(bytes).split(|b| *b == b';').find_map(|pair| {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
                Some(value.strip_circumfix_quotes())
            })
        })
    }

    /// Whether repeating the request has the effect of sending it once (RFC 9110 section 9.2.2,
    /// RFC 4918 for `PROPFIND`).
    pub fn is_idempotent(&self, bytes: &[u8]) -> bool {
        matches!(
            self.method(bytes),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" | b"PROPFIND" | b"REPORT"
        )
    }

    /// Whether `Connection` names this field as belonging to the connection.
    pub(crate) fn is_nominated(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.nominates && self.fields.nominate(bytes, name)
    }
}

trait Quotes {
    fn strip_circumfix_quotes(&self) -> &Self;
}

impl Quotes for [u8] {
    fn strip_circumfix_quotes(&self) -> &Self {
        self.strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .unwrap_or(self)
    }
}

/// What the fields of a request add up to.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one message"
)]
struct Seen {
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
    expects: bool,
    upgrade: bool,
    upgrade_to_http2: bool,
    windows_auth: bool,
    options: ConnectionOptions,
}

impl Seen {
    fn read(&mut self, kind: FieldKind, value: &[u8]) -> Result<(), BadMessage> {
        match kind {
            FieldKind::Host => self.hosts = self.hosts.saturating_add(1),
            FieldKind::ContentLength => {
                if self.length.is_some() {
                    return Err(BadMessage::bad_request(
                        "there are two Content-Length fields",
                    ));
                }
                self.length = Some(content_length(value).ok_or(BadMessage::bad_request(
                    "Content-Length is not a number of bytes",
                ))?);
            }
            FieldKind::TransferEncoding => self.read_transfer_encoding(value)?,
            FieldKind::Connection => self.options.read(value),
            FieldKind::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(BadMessage {
                        status: 417,
                        reason: "only the expectation 100-continue can be met",
                    });
                }
                self.expects = true;
            }
            FieldKind::Upgrade => {
                self.upgrade = true;
                self.upgrade_to_http2 |= tokens(value)
                    .any(|t| t.eq_ignore_ascii_case(b"h2c") || t.eq_ignore_ascii_case(b"h2"));
            }
            FieldKind::Authorization | FieldKind::ProxyAuthorization => {
                self.windows_auth |= is_windows_auth(value);
            }
            FieldKind::Other
            | FieldKind::Cookie
            | FieldKind::Forwarded
            | FieldKind::Http2Settings
            | FieldKind::KeepAlive
            | FieldKind::ProxyAuthenticate
            | FieldKind::ProxyConnection
            | FieldKind::Referer
            | FieldKind::SetCookie
            | FieldKind::Te
            | FieldKind::Trailer
            | FieldKind::UserAgent
            | FieldKind::WwwAuthenticate
            | FieldKind::XForwardedFor
            | FieldKind::XForwardedHost
            | FieldKind::XForwardedPort
            | FieldKind::XForwardedProto => {}
        }
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8]) -> Result<(), BadMessage> {
        if self.chunked {
            return Err(BadMessage::bad_request(
                "there are two Transfer-Encoding fields",
            ));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let token = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        if !value.is_empty() && value.iter().all(token) {
            return Err(BadMessage {
                status: 501,
                reason: "the only transfer encoding understood is chunked",
            });
        }
        Err(BadMessage::bad_request(
            "Transfer-Encoding is not the single word chunked",
        ))
    }

    fn framing(&self, version: Version) -> Result<Framing, BadMessage> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(BadMessage::bad_request(
                "both Transfer-Encoding and Content-Length are there",
            )),
            (true, None) if version == Version::Http10 => {
                Err(BadMessage::bad_request("HTTP/1.0 has no Transfer-Encoding"))
            }
            (true, None) => Ok(Framing::Chunked),
            (false, Some(0) | None) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// Whether the value of an authentication field names a scheme that binds a user to a connection.
///
/// A challenge may list several schemes (RFC 9110 section 11.6.1). A comma within a quoted string
/// can only make one connection more private, which is safe, so quotes are not looked at.
pub(crate) fn is_windows_auth(value: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|challenge| {
        let challenge = challenge.trim_ascii_start();
        let end = challenge.iter().position(|b| matches!(b, b' ' | b'\t'));
        let scheme = challenge.get(..end.unwrap_or(challenge.len()));
        [&b"ntlm"[..], b"negotiate", b"nego2"]
            .iter()
            .any(|s| s.eq_ignore_ascii_case(scheme.unwrap_or_default()))
    })
}

/// The first line of a request (RFC 9112 section 3). It is read here and not by `httparse`, which
/// takes a target only when it is UTF-8: servers are sent other bytes, and inspection must see them.
struct RequestLine {
    /// With the line end, and with empty lines before it.
    length: usize,
    method: Span,
    target: Span,
    version: Version,
}

impl RequestLine {
    fn parse(bytes: &[u8], limits: &HeadLimits) -> Result<Option<Self>, BadMessage> {
        let Some(start) = skip_empty_lines(bytes)? else {
            return Ok(None);
        };
        let rest = bytes.get(start..).unwrap_or_default();
        // Method and version are short; whatever else is long is the target.
        let line_max = limits.target_bytes_max.saturating_add(80);
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > line_max {
                Err(target_too_long())
            } else {
                Ok(None)
            };
        };
        let malformed = BadMessage::bad_request("the request line is not well formed");
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").ok_or(BadMessage::bad_request(
            "the request line does not end with CR LF",
        ))?;
        let method_end = memchr::memchr(b' ', line).ok_or(malformed)?;
        let version_start = memchr::memrchr(b' ', line).ok_or(malformed)?;
        let method = line.get(..method_end).unwrap_or_default();
        let target = line.get(method_end + 1..version_start).ok_or(malformed)?;
        let version = line.get(version_start + 1..).unwrap_or_default();
        if !is_token(method) {
            return Err(BadMessage::bad_request("the method is not a token"));
        }
        if target.len() > limits.target_bytes_max {
            return Err(target_too_long());
        }
        if target.is_empty() || target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(BadMessage::bad_request(
                "the target is empty or has a control character",
            ));
        }
        Ok(Some(Self {
            length: start + end + 1,
            method: Span::new(start, start + method_end),
            target: Span::new(start + method_end + 1, start + version_start),
            version: parse_version(version)?,
        }))
    }
}

fn parse_version(text: &[u8]) -> Result<Version, BadMessage> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(BadMessage {
                status: 505,
                reason: "the version is not HTTP/1.0 or HTTP/1.1",
            })
        }
        _ => Err(BadMessage::bad_request(
            "the version of the request is not well formed",
        )),
    }
}

/// A client may send empty lines before a request (RFC 9112 section 2.2); a few are skipped.
fn skip_empty_lines(bytes: &[u8]) -> Result<Option<usize>, BadMessage> {
    let mut start = 0;
    loop {
        match bytes.get(start..).unwrap_or_default() {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if start < 8 => start += 2,
            [b'\r' | b'\n', ..] => {
                return Err(BadMessage::bad_request(
                    "there is a stray line end before the request",
                ));
            }
            _ => return Ok(Some(start)),
        }
    }
}

fn too_large() -> BadMessage {
    BadMessage {
        status: 431,
        reason: "the header of the request is too large",
    }
}

fn target_too_long() -> BadMessage {
    BadMessage {
        status: 414,
        reason: "the target of the request is too long",
    }
}

fn refusal(error: httparse::Error) -> BadMessage {
    use httparse::Error;
    match error {
        Error::HeaderName => BadMessage::bad_request("the name of a field is not a token"),
        Error::HeaderValue => {
            BadMessage::bad_request("the value of a field has a control character")
        }
        Error::TooManyHeaders => BadMessage {
            status: 431,
            reason: "the request has too many header fields",
        },
        Error::NewLine | Error::Status | Error::Token | Error::Version => {
            BadMessage::bad_request("a line ends in the wrong place")
        }
    }
}
