//! What a client sends on streams that go one way (RFC 9114 section 6.2): its settings, and what only
//! clients of servers that push have to say.

use super::frame::{self, Code, HeadReader, Integer};
use super::qpack::{DecoderStream, EncoderStream};

/// How long the settings of a client may be; those that mean something take less than a hundred bytes.
const SETTINGS_MAX: u64 = 1024;

/// How many of each kind of stream there can be: one (RFC 9114 section 6.2.1, RFC 9204 section 4.2).
#[derive(Debug, Default)]
pub(super) struct Known {
    control: bool,
    encoder: bool,
    decoder: bool,
}

/// One stream of a client that goes one way.
#[derive(Debug)]
pub(super) enum OneWay {
    /// What it is for has not come.
    New(Integer),
    Control(Box<Control>),
    Encoder,
    Decoder(DecoderStream),
    /// Nobody knows what it is for.
    Unknown,
}

/// The control stream of a client.
#[derive(Debug, Default)]
pub(super) struct Control {
    head: HeadReader,
    frame: Option<(Kind, u64)>,
    payload: Vec<u8>,
    has_settings: bool,
    /// What the client has said last of pushes, which there are none of.
    push_max: Option<u64>,
    goaway: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Settings,
    /// One integer.
    CancelPush,
    GoAway,
    MaxPushId,
    Unknown,
}

impl Default for OneWay {
    fn default() -> Self {
        Self::New(Integer::default())
    }
}

impl OneWay {
    /// Takes what has come; how many frames that mean nothing were in it.
    ///
    /// # Errors
    /// The connection has to end with this code.
    pub(super) fn take(&mut self, mut bytes: &[u8], known: &mut Known) -> Result<u32, Code> {
        if let Self::New(integer) = self {
            let mut kind = None;
            while let Some((byte, rest)) = bytes.split_first() {
                bytes = rest;
                kind = integer.push(*byte);
                if kind.is_some() {
                    break;
                }
            }
            let Some(kind) = kind else { return Ok(0) };
            *self = Self::of(kind, known)?;
        }
        match self {
            Self::New(_) | Self::Unknown => Ok(0),
            Self::Control(control) => control.take(bytes),
            Self::Encoder => EncoderStream::take(bytes).map(|()| 0),
            Self::Decoder(stream) => stream.take(bytes).map(|()| 0),
        }
    }

    fn of(kind: u64, known: &mut Known) -> Result<Self, Code> {
        let (stream, flag) = match kind {
            0 => (Self::Control(Box::default()), &mut known.control),
            2 => (Self::Encoder, &mut known.encoder),
            3 => (Self::Decoder(DecoderStream::default()), &mut known.decoder),
            // Only servers push.
            1 => return Err(Code::StreamCreationError),
            _ => return Ok(Self::Unknown),
        };
        if std::mem::replace(flag, true) {
            return Err(Code::StreamCreationError);
        }
        Ok(stream)
    }

    /// Takes note that nothing more comes: in order, or as the stream was broken off.
    ///
    /// # Errors
    /// The connection has to end with this code.
    pub(super) fn end(&self) -> Result<(), Code> {
        match self {
            // One whose kind never came is none.
            Self::New(_) | Self::Unknown => Ok(()),
            Self::Control(_) | Self::Encoder | Self::Decoder(_) => Err(Code::ClosedCriticalStream),
        }
    }

    /// Whether there is no use in reading on.
    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl Control {
    fn take(&mut self, mut bytes: &[u8]) -> Result<u32, Code> {
        let mut idle = 0;
        loop {
            let Some((kind, left)) = &mut self.frame else {
                let Some((kind, length)) = self.head.take(&mut bytes) else {
                    return Ok(idle);
                };
                self.begin(kind, length)?;
                continue;
            };
            let count = usize::try_from(*left).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(count.min(bytes.len()));
            bytes = rest;
            *left -= piece.len() as u64;
            let (kind, over) = (*kind, *left == 0);
            if kind != Kind::Unknown {
                self.payload.extend_from_slice(piece);
            }
            if !over {
                return Ok(idle);
            }
            self.frame = None;
            let payload = std::mem::take(&mut self.payload);
            self.finish(kind, &payload)?;
            idle += 1;
        }
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<(), Code> {
        if !self.has_settings && kind != frame::SETTINGS {
            return Err(Code::MissingSettings);
        }
        let (kind, length_max) = match kind {
            frame::SETTINGS if self.has_settings => return Err(Code::FrameUnexpected),
            frame::SETTINGS => (Kind::Settings, SETTINGS_MAX),
            frame::CANCEL_PUSH => (Kind::CancelPush, 8),
            frame::GOAWAY => (Kind::GoAway, 8),
            frame::MAX_PUSH_ID => (Kind::MaxPushId, 8),
            frame::DATA | frame::HEADERS | frame::PUSH_PROMISE => {
                return Err(Code::FrameUnexpected);
            }
            kind if frame::is_of_http2(kind) => return Err(Code::FrameUnexpected),
            _ => (Kind::Unknown, u64::MAX),
        };
        if length > length_max {
            return Err(if kind == Kind::Settings {
                Code::ExcessiveLoad
            } else {
                Code::FrameError
            });
        }
        self.has_settings = true;
        self.frame = Some((kind, length));
        Ok(())
    }

    fn finish(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Code> {
        match kind {
            Kind::Settings => settings(payload),
            Kind::Unknown => Ok(()),
            // Nothing was promised that could be cancelled.
            Kind::CancelPush => {
                Err(only_integer(payload).map_or_else(|code| code, |_| Code::IdError))
            }
            Kind::GoAway => {
                let id = only_integer(payload)?;
                // It may only go down (RFC 9114 section 5.2).
                if self.goaway.is_some_and(|before| id > before) {
                    return Err(Code::IdError);
                }
                self.goaway = Some(id);
                Ok(())
            }
            Kind::MaxPushId => {
                let id = only_integer(payload)?;
                if self.push_max.is_some_and(|before| id < before) {
                    return Err(Code::IdError);
                }
                self.push_max = Some(id);
                Ok(())
            }
        }
    }
}

fn only_integer(mut payload: &[u8]) -> Result<u64, Code> {
    let value = frame::integer(&mut payload).ok_or(Code::FrameError)?;
    if payload.is_empty() {
        Ok(value)
    } else {
        Err(Code::FrameError)
    }
}

/// Checks the settings of a client (RFC 9114 section 7.2.4). None of them changes what we send: we use no
/// table.
fn settings(mut payload: &[u8]) -> Result<(), Code> {
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let id = frame::integer(&mut payload).ok_or(Code::FrameError)?;
        let value = frame::integer(&mut payload).ok_or(Code::FrameError)?;
        // Those of HTTP/2, and one that comes twice.
        let wrong = matches!(id, 0 | 2..=5) || seen.contains(&id);
        // Whether extended CONNECT is understood, and datagrams (RFC 9220, RFC 9297).
        if wrong || matches!(id, 0x8 | 0x33) && value > 1 {
            return Err(Code::SettingsError);
        }
        seen.push(id);
    }
    Ok(())
}
