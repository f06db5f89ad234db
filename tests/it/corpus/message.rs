//! A reader of HTTP/1.1 messages that is not the balancer's: it accepts only what cannot be
//! misunderstood, so that whatever the balancer lets through is seen as a strict peer sees it.

use std::fmt::Write;

/// A message as it arrived, or as it should arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The request line or status line.
    pub(super) line: Vec<u8>,
    /// Each field as `name: value`, without white space around the value.
    pub(super) fields: Vec<Vec<u8>>,
    /// The body without its framing.
    pub(super) body: Vec<u8>,
    /// The trailer fields.
    pub(super) trailers: Vec<Vec<u8>>,
}

/// Whose message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A request.
    Request,
    /// The answer to a request with or without the method HEAD.
    Response {
        /// Whether the method was HEAD.
        to_head: bool,
    },
}

/// What stands at the front of some bytes.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A message of so many bytes.
    Whole(Message, usize),
    /// The beginning of a message; its status if it is a response.
    Part,
    /// The head of a message whose body has not ended.
    PartOfBody(Message),
    /// No message.
    Wrong(&'static str),
}

impl Message {
    /// The message that the `<` lines of a case describe.
    pub(super) fn as_written(bytes: &[u8]) -> Self {
        let (head, body) = split_head(bytes).expect("a message has an empty line behind its head");
        let mut lines = head
            .split(|b| *b == b'\n')
            .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let line = lines.next().unwrap_or_default().to_vec();
        let fields = lines
            .filter(|l| !l.is_empty())
            .map(|l| tidy(l).expect("a field"))
            .collect();
        Self {
            line,
            fields,
            body: body.to_vec(),
            trailers: Vec::new(),
        }
    }

    /// The values of a field.
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = |field: &Vec<u8>| {
            let colon = field.iter().position(|b| *b == b':')?;
            field[..colon]
                .eq_ignore_ascii_case(name.as_bytes())
                .then_some(colon + 1)
        };
        let value = |field| named(field).map(|start| field[start..].trim_ascii());
        self.fields.iter().filter_map(value).collect()
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// Takes fields out.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        let fields = std::mem::take(&mut self.fields);
        let keep = |field: &Vec<u8>| {
            let name = field.split(|b| *b == b':').next().unwrap_or_default();
            !names
                .iter()
                .any(|n| n.as_bytes().eq_ignore_ascii_case(name))
        };
        self.fields = fields.into_iter().filter(keep).collect();
        self
    }

    /// Puts a text in the place of a mark at the end of a field.
    pub(super) fn with(mut self, mark: &[u8], text: &str) -> Self {
        for field in &mut self.fields {
            if let Some(start) = field.strip_suffix(mark) {
                *field = [start, text.as_bytes()].concat();
            }
        }
        self
    }

    /// The status of a response, or 0.
    pub(super) fn status(&self) -> u16 {
        let digits = self
            .line
            .get(9..12)
            .and_then(|d| std::str::from_utf8(d).ok());
        digits.and_then(|d| d.parse().ok()).unwrap_or(0)
    }

    /// The message for a person.
    pub(super) fn shown(&self) -> String {
        let mut text = show(&self.line);
        for field in &self.fields {
            let _infallible = write!(text, " | {}", show(field));
        }
        let _infallible = write!(text, " | body {}", show(&self.body));
        for field in &self.trailers {
            let _infallible = write!(text, " + {}", show(field));
        }
        text
    }
}

/// Bytes for a person, shortened.
pub(super) fn show(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    if bytes.len() > 300 {
        format!("{shown}... ({} bytes)", bytes.len())
    } else {
        shown
    }
}

/// Where a head ends.
pub(super) fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    Some((&bytes[..end], &bytes[end + 4..]))
}

/// Reads the message at the front. `closed`: nothing more will come.
pub(super) fn read(bytes: &[u8], side: Side, closed: bool) -> Found {
    let Some((head, rest)) = split_head(bytes) else {
        return Found::Part;
    };
    let mut message = Message::default();
    for (position, line) in split_lines(head).enumerate() {
        let Some(line) = line else {
            return Found::Wrong("a bare CR or LF in a head");
        };
        if position == 0 {
            message.line = line.to_vec();
        } else if let Some(field) = tidy(line) {
            message.fields.push(field);
        } else {
            return Found::Wrong("a field that is not well formed");
        }
    }
    let before = bytes.len() - rest.len();
    let lengths = message.values("content-length");
    let codings = message.values("transfer-encoding");
    let bodiless = match side {
        Side::Request => false,
        Side::Response { to_head } => {
            to_head || message.status() < 200 || matches!(message.status(), 204 | 304)
        }
    };
    match (codings.as_slice(), lengths.as_slice()) {
        _ if bodiless => Found::Whole(message, before),
        ([b"chunked"], []) => match chunks(rest, &mut message) {
            Ok(Some(length)) => Found::Whole(message, before + length),
            Ok(None) => Found::PartOfBody(message),
            Err(wrong) => Found::Wrong(wrong),
        },
        ([], [length]) => {
            let number = std::str::from_utf8(length)
                .ok()
                .and_then(|l| l.parse::<usize>().ok());
            let Some(length) = number.filter(|_| length.iter().all(u8::is_ascii_digit)) else {
                return Found::Wrong("a length that is no number");
            };
            let Some(body) = rest.get(..length) else {
                return Found::PartOfBody(message);
            };
            message.body = body.to_vec();
            Found::Whole(message, before + length)
        }
        ([], []) if side == Side::Request => Found::Whole(message, before),
        ([], []) if closed => {
            message.body = rest.to_vec();
            Found::Whole(message, bytes.len())
        }
        ([], []) => Found::PartOfBody(message),
        _ => Found::Wrong("a framing that is not clear"),
    }
}

fn chunks(bytes: &[u8], message: &mut Message) -> Result<Option<usize>, &'static str> {
    let mut rest = bytes;
    loop {
        let Some((line, after)) = split_line(rest) else {
            return Ok(None);
        };
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|l| usize::from_str_radix(l, 16).ok());
        let Some(size) = size.filter(|_| line.iter().all(u8::is_ascii_hexdigit)) else {
            return Err("a chunk size that is not plain");
        };
        if size == 0 {
            rest = after;
            break;
        }
        let Some((data, after)) = after.split_at_checked(size) else {
            return Ok(None);
        };
        message.body.extend(data);
        match after {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk without its line end"),
        }
    }
    loop {
        let Some((line, after)) = split_line(rest) else {
            return Ok(None);
        };
        rest = after;
        if line.is_empty() {
            return Ok(Some(bytes.len() - rest.len()));
        }
        message
            .trailers
            .push(tidy(line).ok_or("a trailer field that is not well formed")?);
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|w| w == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

/// The lines of a head; nothing in the place of one that has a CR or LF of its own.
fn split_lines(head: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(head);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (line, after) = match split_line(bytes) {
            Some((line, after)) => (line, Some(after)),
            None => (bytes, None),
        };
        rest = after;
        Some(Some(line).filter(|l| !l.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))))
    })
}

/// A field as `name: value`; nothing if it has no name that a strict peer accepts.
pub(super) fn tidy(line: &[u8]) -> Option<Vec<u8>> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at(colon);
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let legal = !name.is_empty() && name.iter().all(token);
    legal.then(|| [name, b": ", value[1..].trim_ascii()].concat())
}
