//! What a client says first, read without decrypting anything (RFC 8446 sections 4.1.2 and 5.1).

use std::borrow::Cow;

/// The type of a record that carries a handshake.
const HANDSHAKE: u8 = 22;
/// The type of the message.
const CLIENT_HELLO: u8 = 1;
/// The most in one record, in bytes.
const RECORD_MAX: usize = 1 << 14;
/// A record's type, version and length, in bytes.
const RECORD_HEAD: usize = 5;
/// A message's type and length, in bytes.
const MESSAGE_HEAD: usize = 4;

/// Extensions (IANA, TLS `ExtensionType` Values).
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// The most that a client may send until its hello is complete, in bytes. With a key share that
/// resists quantum computers and a ticket it has about 3,000.
pub const HELLO_MAX: usize = 16 * 1024;

/// What a client says first, as far as rules look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The host that the client asks for, in lower case and without a final dot.
    pub server_name: Option<Box<str>>,
    /// What it offers to speak (RFC 7301), the best first.
    pub protocols: Box<[Box<[u8]>]>,
}

/// Why what a client says is no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHello {
    /// Something else than TLS is spoken.
    #[error("what the client sent is not TLS")]
    NotTls,
    /// It contradicts itself.
    #[error("the client's first message is malformed: {0}")]
    Malformed(&'static str),
    /// It is longer than [`HELLO_MAX`].
    #[error("the client's first message is too long")]
    TooLong,
}

impl ClientHello {
    /// Reads what has arrived; none when there is more to come.
    ///
    /// # Errors
    /// Nothing that may follow makes it a hello.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotHello> {
        let Some(message) = message(bytes)? else {
            return if bytes.len() < HELLO_MAX {
                Ok(None)
            } else {
                Err(NotHello::TooLong)
            };
        };
        read(&message).map(Some)
    }

    /// Whether it offers to speak this.
    pub fn offers(&self, protocol: &str) -> bool {
        self.protocols
            .iter()
            .any(|offered| **offered == *protocol.as_bytes())
    }
}

/// The body of the first message; none when it is not complete. It may be cut into records wherever
/// its sender likes.
fn message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, NotHello> {
    let mut rest = bytes;
    let mut gathered = Cow::Borrowed(&[][..]);
    loop {
        let (payload, after) = match record(rest)? {
            Some(Record::Whole { payload, after }) => (payload, after),
            Some(Record::Part(payload)) => {
                let first = gathered.first().or(payload.first());
                return check_type(first).map(|()| None);
            }
            None => return Ok(None),
        };
        rest = after;
        if gathered.is_empty() {
            gathered = Cow::Borrowed(payload);
        } else {
            gathered.to_mut().extend_from_slice(payload);
        }
        check_type(gathered.first())?;
        let Some((head, body)) = gathered.split_at_checked(MESSAGE_HEAD) else {
            continue;
        };
        let length = head
            .iter()
            .skip(1)
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > HELLO_MAX {
            return Err(NotHello::TooLong);
        }
        if body.len() > length {
            // RFC 8446 section 5.1: nothing may follow it before the server has answered.
            return Err(NotHello::Malformed("something follows it in its record"));
        }
        if body.len() == length {
            return Ok(Some(match gathered {
                Cow::Borrowed(all) => Cow::Borrowed(all.get(MESSAGE_HEAD..).unwrap_or_default()),
                Cow::Owned(mut all) => {
                    all.drain(..MESSAGE_HEAD);
                    Cow::Owned(all)
                }
            }));
        }
    }
}

fn check_type(first: Option<&u8>) -> Result<(), NotHello> {
    if first.is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NotHello::Malformed("another message comes first"));
    }
    Ok(())
}

enum Record<'a> {
    Whole { payload: &'a [u8], after: &'a [u8] },
    Part(&'a [u8]),
}

/// The next record, when there is its head.
fn record(bytes: &[u8]) -> Result<Option<Record<'_>>, NotHello> {
    // As early as can be: whoever speaks another protocol waits for an answer.
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE)
        || bytes.get(1).is_some_and(|major| *major != 3)
    {
        return Err(NotHello::NotTls);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEAD>() else {
        return Ok(None);
    };
    let [_, _, _, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > RECORD_MAX {
        return Err(NotHello::Malformed("a record is empty or too long"));
    }
    Ok(Some(match rest.split_at_checked(length) {
        Some((payload, after)) => Record::Whole { payload, after },
        None => Record::Part(rest),
    }))
}

fn read(message: &[u8]) -> Result<ClientHello, NotHello> {
    let mut fields = Fields(message);
    // The version of old, and the random number.
    fields.take(2 + 32)?;
    let session = fields.short()?;
    if session.len() > 32 {
        return Err(NotHello::Malformed("its session is too long"));
    }
    let ciphers = fields.long()?;
    let compressions = fields.short()?;
    if ciphers.is_empty() || ciphers.len() % 2 != 0 || compressions.is_empty() {
        return Err(NotHello::Malformed("it offers no ciphers"));
    }
    let mut hello = ClientHello::default();
    // TLS 1.2 without extensions has nothing here.
    if fields.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = Fields(fields.long()?);
    fields.end()?;
    let (mut has_name, mut has_protocols) = (false, false);
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.number()?, extensions.long()?);
        // A second one would be another answer to the same question: who else reads it may take that.
        if kind == SERVER_NAME {
            if std::mem::replace(&mut has_name, true) {
                return Err(NotHello::Malformed("it asks for a host twice"));
            }
            hello.server_name = Some(server_name(content)?);
        } else if kind == ALPN {
            if std::mem::replace(&mut has_protocols, true) {
                return Err(NotHello::Malformed("it offers protocols twice"));
            }
            hello.protocols = protocols(content)?;
        }
    }
    Ok(hello)
}

/// RFC 6066 section 3: a list, in which there is one host and nothing else has ever been defined.
fn server_name(content: &[u8]) -> Result<Box<str>, NotHello> {
    let bad = NotHello::Malformed("the host that it asks for is none");
    let mut content = Fields(content);
    let mut list = Fields(content.long()?);
    content.end()?;
    let &[kind] = list.take(1)? else {
        return Err(bad);
    };
    let name = list.long()?;
    list.end()?;
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let name = name.strip_suffix(b".").unwrap_or(name);
    if kind != 0 || name.is_empty() || name.len() > 255 || !name.iter().all(legal) {
        return Err(bad);
    }
    let name = std::str::from_utf8(name).map_err(|_| bad)?;
    Ok(name.to_ascii_lowercase().into())
}

fn protocols(content: &[u8]) -> Result<Box<[Box<[u8]>]>, NotHello> {
    let mut content = Fields(content);
    let mut list = Fields(content.long()?);
    content.end()?;
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.short()?;
        if name.is_empty() {
            return Err(NotHello::Malformed("a protocol that it offers has no name"));
        }
        protocols.push(name.into());
    }
    Ok(protocols.into())
}

/// What is still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NotHello> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(NotHello::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, NotHello> {
        let bytes = self.take(2)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u16::from(*byte)))
    }

    /// Bytes behind a length of one byte.
    fn short(&mut self) -> Result<&'a [u8], NotHello> {
        let length = self.take(1)?.first().copied().unwrap_or(0);
        self.take(length.into())
    }

    /// Bytes behind a length of two bytes.
    fn long(&mut self) -> Result<&'a [u8], NotHello> {
        let length = self.number()?;
        self.take(length.into())
    }

    fn end(&self) -> Result<(), NotHello> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(NotHello::Malformed("a length in it is wrong"))
        }
    }
}

#[cfg(test)]
mod tests;
