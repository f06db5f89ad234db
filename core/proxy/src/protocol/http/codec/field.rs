//! Header fields as ranges of the bytes of a head.

use httparse::Header;

/// A range of bytes, relative to the start of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Heads are at most 1 MiB; a range that does not fit would be empty, never wrong bytes.
        Self {
            start: u32::try_from(start).unwrap_or(0),
            end: u32::try_from(end).unwrap_or(0),
        }
    }

    /// The range that `part`, a part of `whole`, takes in it.
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        Self::new(start, start.wrapping_add(part.len()))
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The empty range behind this one.
    pub(crate) fn behind(self) -> Self {
        Self {
            start: self.end,
            end: self.end,
        }
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }
}

/// The fields that the balancer itself looks at or must not pass on as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the field of that name")]
pub enum FieldKind {
    #[default]
    Other,
    Authorization,
    Connection,
    ContentLength,
    Cookie,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Referer,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    WwwAuthenticate,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedProto,
}

impl FieldKind {
    /// The kind of a field, by its name.
    pub fn of(name: &[u8]) -> Self {
        let candidate: (&[u8], Self) = match name.len() {
            2 => (b"te", Self::Te),
            4 => (b"host", Self::Host),
            6 if name[0] | 0x20 == b'c' => (b"cookie", Self::Cookie),
            6 => (b"expect", Self::Expect),
            7 if name[0] | 0x20 == b'u' => (b"upgrade", Self::Upgrade),
            7 if name[0] | 0x20 == b't' => (b"trailer", Self::Trailer),
            7 => (b"referer", Self::Referer),
            9 => (b"forwarded", Self::Forwarded),
            10 if name[0] | 0x20 == b'c' => (b"connection", Self::Connection),
            10 if name[0] | 0x20 == b's' => (b"set-cookie", Self::SetCookie),
            10 if name[0] | 0x20 == b'k' => (b"keep-alive", Self::KeepAlive),
            10 => (b"user-agent", Self::UserAgent),
            13 => (b"authorization", Self::Authorization),
            14 if name[0] | 0x20 == b'c' => (b"content-length", Self::ContentLength),
            14 => (b"http2-settings", Self::Http2Settings),
            15 => (b"x-forwarded-for", Self::XForwardedFor),
            16 if name[0] | 0x20 == b'w' => (b"www-authenticate", Self::WwwAuthenticate),
            16 if name[12] | 0x20 == b'h' => (b"x-forwarded-host", Self::XForwardedHost),
            16 if name[0] | 0x20 == b'p' => (b"proxy-connection", Self::ProxyConnection),
            16 => (b"x-forwarded-port", Self::XForwardedPort),
            17 if name[0] | 0x20 == b't' => (b"transfer-encoding", Self::TransferEncoding),
            17 => (b"x-forwarded-proto", Self::XForwardedProto),
            18 => (b"proxy-authenticate", Self::ProxyAuthenticate),
            19 => (b"proxy-authorization", Self::ProxyAuthorization),
            _ => return Self::Other,
        };
        // Most names of a common length differ in the first letter.
        let (Some(first), Some(sent)) = (candidate.0.first(), name.first()) else {
            return Self::Other;
        };
        if *first == sent | 0x20 && candidate.0.eq_ignore_ascii_case(name) {
            candidate.1
        } else {
            Self::Other
        }
    }

    /// Whether a `Connection` field may name this one as belonging to the connection. A client must
    /// not be able to take out what servers decide by.
    pub(crate) fn may_be_nominated(self) -> bool {
        matches!(self, Self::Other)
    }
}

/// One header field of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    name: Span,
    value: Span,
    line_end: u32,
    /// What the field is.
    pub kind: FieldKind,
}

impl Field {
    /// The name, as it was sent.
    pub fn name(self, bytes: &[u8]) -> &[u8] {
        self.name.of(bytes)
    }

    /// The value, without the white space around it.
    pub fn value(self, bytes: &[u8]) -> &[u8] {
        self.value.of(bytes)
    }

    /// Where the line of the field begins.
    pub(crate) fn line_start(self) -> usize {
        self.name.start()
    }

    /// Where the line of the field ends, behind its CR LF.
    pub(crate) fn line_end(self) -> usize {
        self.line_end as usize
    }
}

/// The header fields of a head, in the order in which they came.
#[derive(Debug, Default)]
pub struct Fields {
    pub(crate) list: Vec<Field>,
}

impl Fields {
    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Field> + '_ {
        self.list.iter().copied()
    }

    /// The fields of one kind, in order.
    pub fn of(&self, kind: FieldKind) -> impl Iterator<Item = Field> + '_ {
        self.list
            .iter()
            .copied()
            .filter(move |field| field.kind == kind)
    }

    /// Whether a `Connection` field names this one as belonging to the connection.
    pub(crate) fn nominate(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.of(FieldKind::Connection)
            .any(|field| tokens(field.value(bytes)).any(|t| t.eq_ignore_ascii_case(name)))
    }

    /// Takes over what `httparse` found. `bytes` is the whole head.
    ///
    /// `false`: a line does not end with CR LF. `httparse` accepts a bare LF; another program on the
    /// way may not, and would then see other lines.
    pub(crate) fn fill(&mut self, bytes: &[u8], headers: &[Header<'_>]) -> bool {
        self.list.clear();
        let mut crlf = bytes.ends_with(b"\r\n\r\n");
        for header in headers {
            let name = Span::within(bytes, header.name.as_bytes());
            // An empty value has no place of its own among the bytes.
            let value = if header.value.is_empty() {
                name.behind()
            } else {
                Span::within(bytes, header.value)
            };
            crlf &= name.start() >= 2 && bytes.get(name.start() - 2) == Some(&b'\r');
            if let Some(before) = self.list.last_mut() {
                before.line_end = name.start;
            }
            let kind = FieldKind::of(header.name.as_bytes());
            self.list.push(Field {
                name,
                value,
                line_end: 0,
                kind,
            });
        }
        if let Some(last) = self.list.last_mut() {
            // What is left of the head is the empty line.
            last.line_end = u32::try_from(bytes.len().saturating_sub(2)).unwrap_or(0);
        }
        crlf
    }
}

/// What the `Connection` fields of a message say (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a field may list any of them"
)]
pub(crate) struct ConnectionOptions {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Some other field is named as belonging to the connection.
    pub(crate) nominates: bool,
}

impl ConnectionOptions {
    pub(crate) fn read(&mut self, value: &[u8]) {
        for token in tokens(value) {
            match token.len() {
                5 if token.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if token.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
                10 if token.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => self.nominates = true,
            }
        }
    }
}

/// Whether these bytes are a token: a method or the name of a field (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(legal)
}

/// The elements of a comma-separated list, without the empty ones (RFC 9110 section 5.6.1).
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// The body length that a `Content-Length` field states: digits and nothing else. A list, a sign or
/// a second field is how two programs come to disagree, so none is accepted; nor is a number that is
/// negative where lengths are signed.
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, b| {
        b.is_ascii_digit()
            .then(|| length * 10 + u64::from(b - b'0'))
    })?;
    i64::try_from(length).is_ok().then_some(length)
}
