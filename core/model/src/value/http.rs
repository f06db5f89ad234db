//! The pieces of HTTP that documents name: methods, header fields, hosts, paths, patterns.

use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, as_str, text_value};

/// Bytes that RFC 9110 section 5.6.2 allows in a token: method and header names.
fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(legal)
}

/// A request method such as `GET` or `PROPFIND` (RFC 9110 section 9); case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(Box<str>);

/// The name of a header field (RFC 9110 section 5.1), kept as written and compared without case.
#[derive(Clone, Debug)]
pub struct HeaderName(Box<str>);

/// The value of a header field: visible characters, spaces and tabs (RFC 9110 section 5.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderText(Box<str>);

/// A host to match: a name, `*.` and a domain for every name below it, or an address.
/// Case does not matter; a port in the request is not compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(Box<str>);

/// A regular expression, in the syntax of Rust's `regex`: linear time, no look-around.
#[derive(Clone, Debug)]
pub struct Pattern(regex::bytes::Regex);

/// The path of a request, as it is sent: it starts with `/`, and what is not ASCII is
/// percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPath(Box<str>);

/// Where a redirect leads; `{scheme}`, `{host}`, `{port}`, `{path}` and `{query}` are taken from
/// the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationTemplate(Box<str>);

/// A piece of a [`LocationTemplate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationPart<'a> {
    /// Text that is copied.
    Text(&'a str),
    /// The host of the request, without its port.
    Host,
    /// The path of the request.
    Path,
    /// The port of the virtual service that the client reached.
    Port,
    /// `?` and the query of the request, or nothing when it has none.
    Query,
    /// `http` or `https`.
    Scheme,
}

as_str!(
    Method,
    HeaderName,
    HeaderText,
    HostPattern,
    LocationTemplate,
    UrlPath
);

impl FromStr for Method {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if is_token(text) && text.len() <= 64 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                format!("`{text}` is not a request method"),
                "a method such as GET, POST or PROPFIND",
            ))
        }
    }
}

impl FromStr for HeaderName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if is_token(text) && text.len() <= 256 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                format!("`{text}` is not a header name"),
                "letters, digits and !#$%&'*+-.^_`|~ only, such as X-Forwarded-Proto",
            ))
        }
    }
}

impl HeaderName {
    /// Whether this is the name of that header field; case does not matter.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(name)
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HeaderName {}

impl Ord for HeaderName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let lower = |text: &str| {
            text.bytes()
                .map(|b| b.to_ascii_lowercase())
                .collect::<Vec<_>>()
        };
        lower(&self.0).cmp(&lower(&other.0))
    }
}

impl PartialOrd for HeaderName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for HeaderText {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = text.chars().all(|c| c == '\t' || !c.is_control());
        if legal && text.trim() == text && text.len() <= 8192 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                format!("`{}` is not a header value", text.escape_debug()),
                "at most 8192 bytes without control characters, not starting or ending in a space",
            ))
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let bracketed = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let legal = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        if legal && !name.is_empty() && text.len() <= 253 {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(InvalidValue::new(
                format!("`{text}` is not a host to match"),
                "a host name without a port, such as \"shop.example\", or \"*.example\" for every \
                 name below a domain",
            ))
        }
    }
}

impl HostPattern {
    /// Whether the host of a request matches. `host` has no port and is in lower case.
    pub fn matches(&self, host: &[u8]) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
            None => host == self.0.as_bytes(),
        }
    }

    /// Whether every host that matches `other` matches this pattern.
    pub fn covers(&self, other: &Self) -> bool {
        self == other || self.matches(other.0.trim_start_matches('*').as_bytes())
    }
}

impl FromStr for UrlPath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if legal && text.starts_with('/') && text.len() <= 2048 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(
                format!("`{}` is not a path", text.escape_debug()),
                "text that starts with `/`, without spaces, anything but ASCII percent-encoded",
            ))
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // The limit keeps one rule from taking the memory of the whole balancer.
        regex::bytes::RegexBuilder::new(text).size_limit(1 << 20).build().map(Self).map_err(|e| {
            let reason = e.to_string();
            let cause = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            InvalidValue::new(
                format!("`{text}` is not a regular expression: {cause}"),
                "the syntax of https://docs.rs/regex#syntax (no look-around, no back-references)",
            )
        })
    }
}

impl Pattern {
    /// Whether the pattern is found anywhere in these bytes.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LocationTemplate {
    /// The pieces of the template, in order.
    pub fn parts(&self) -> impl Iterator<Item = LocationPart<'_>> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
                rest = after;
                return Some(match name {
                    "host" => LocationPart::Host,
                    "path" => LocationPart::Path,
                    "port" => LocationPart::Port,
                    "query" => LocationPart::Query,
                    // `from_str` let nothing else through.
                    _ => LocationPart::Scheme,
                });
            }
            let end = rest.find('{').unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(end)?;
            rest = after;
            Some(LocationPart::Text(text))
        })
    }
}

impl FromStr for LocationTemplate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "an absolute URL or a path; {scheme}, {host}, {port}, {path} and {query} are \
                    taken from the request, such as \"https://{host}{path}{query}\"";
        let legal = !text.is_empty()
            && text.len() <= 2048
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|".contains(&b));
        if !legal {
            return Err(InvalidValue::new(
                format!("`{text}` is not a redirect location"),
                mend,
            ));
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or(("", ""));
            let known = matches!(name, "scheme" | "host" | "port" | "path" | "query");
            if !known || before.contains('}') {
                return Err(InvalidValue::new(
                    format!("`{text}` has an unknown or unclosed placeholder"),
                    mend,
                ));
            }
            rest = after;
        }
        Ok(Self(text.into()))
    }
}

text_value!(Method, format: "lb-method", example: "GET", "A request method; case matters.");
text_value!(
    HeaderName,
    format: "lb-header-name",
    example: "X-Request-Id",
    "The name of a header field; case does not matter."
);
text_value!(
    HeaderText,
    format: "lb-header-text",
    example: "on",
    "The value of a header field, without control characters."
);
text_value!(
    HostPattern,
    format: "lb-host-pattern",
    example: "*.shop.example",
    "A host name without a port, or `*.` and a domain for every name below it."
);
text_value!(
    UrlPath,
    format: "lb-path",
    example: "/health",
    "A path as it is sent: it starts with `/`; what is not ASCII is percent-encoded."
);
text_value!(
    Pattern,
    format: "lb-pattern",
    example: "^/img/.*\\.png$",
    "A regular expression (linear time, no look-around); it matches anywhere unless anchored."
);
text_value!(
    LocationTemplate,
    format: "lb-location",
    example: "https://{host}{path}{query}",
    "An absolute URL or a path; `{scheme}`, `{host}`, `{port}`, `{path}` and `{query}` come from the \
     request."
);
