//! Frames of HTTP/2 (RFC 9113 sections 4 and 6).

/// What a client that speaks HTTP/2 says first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of the head of a frame.
pub(crate) const HEAD: usize = 9;
/// The largest payload that everybody takes, and the largest that we do.
pub(crate) const PAYLOAD_MAX: usize = 16 * 1024;
/// The largest window (RFC 9113 section 6.9.1).
pub(crate) const WINDOW_MAX: i64 = 0x7fff_ffff;
/// The window of a connection and of its streams before anybody says another (RFC 9113 section 6.9.2).
pub(crate) const WINDOW_FIRST: i64 = 65_535;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// The last frame of a stream from its sender; the answer to SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const HAS_PRIORITY: u8 = 0x20;

/// Why a stream or a connection ends (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    NoError = 0,
    ProtocolError = 1,
    InternalError = 2,
    FlowControlError = 3,
    StreamClosed = 5,
    FrameSizeError = 6,
    RefusedStream = 7,
    Cancel = 8,
    CompressionError = 9,
    EnhanceYourCalm = 0xb,
    Http11Required = 0xd,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Head {
    /// The head at the front of these bytes, when all of it is there.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2),
            kind,
            flags,
            // The first bit means nothing.
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// As it is sent.
    pub(crate) fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or(0).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }

    pub(crate) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The part of a header block in the payload of a HEADERS frame, without padding and priority.
    pub(crate) fn fragment(self, payload: &[u8]) -> Result<&[u8], Code> {
        let mut rest = payload;
        let mut padding = 0;
        if self.has(PADDED) {
            let (length, behind) = rest.split_first().ok_or(Code::FrameSizeError)?;
            (padding, rest) = (usize::from(*length), behind);
        }
        if self.has(HAS_PRIORITY) {
            rest = rest.get(5..).ok_or(Code::FrameSizeError)?;
        }
        let length = rest.len().checked_sub(padding).ok_or(Code::ProtocolError)?;
        Ok(rest.get(..length).unwrap_or_default())
    }
}

/// Writes a frame that is written whole.
pub(crate) fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    let head = Head {
        length,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// The four bytes at the front as a number.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// What a peer has set (RFC 9113 section 6.5.2), as far as it concerns what we send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The window that a stream of ours begins with.
    pub(crate) window: i64,
    /// The largest payload that it takes.
    pub(crate) payload_max: usize,
    /// How many streams of ours may be open at a time.
    pub(crate) streams_max: usize,
}

/// How many streams are opened before the peer says how many it takes: what RFC 9113 section 6.5.2
/// recommends as the least.
const STREAMS_FIRST: usize = 100;

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: WINDOW_FIRST,
            payload_max: PAYLOAD_MAX,
            streams_max: STREAMS_FIRST,
        }
    }
}

impl Settings {
    /// Takes over what a SETTINGS frame says.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<(), Code> {
        const ENABLE_PUSH: u16 = 2;
        const MAX_CONCURRENT_STREAMS: u16 = 3;
        const INITIAL_WINDOW_SIZE: u16 = 4;
        const MAX_FRAME_SIZE: u16 = 5;
        const ENABLE_CONNECT_PROTOCOL: u16 = 8;
        for setting in payload.chunks_exact(6) {
            let id = setting
                .first_chunk()
                .map_or(0, |id| u16::from_be_bytes(*id));
            let value = number(setting.get(2..).unwrap_or_default());
            match id {
                ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return Err(Code::ProtocolError);
                }
                INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => {
                    return Err(Code::FlowControlError);
                }
                MAX_CONCURRENT_STREAMS => {
                    self.streams_max = usize::try_from(value).unwrap_or(usize::MAX);
                }
                INITIAL_WINDOW_SIZE => self.window = i64::from(value),
                MAX_FRAME_SIZE => {
                    let size = usize::try_from(value).unwrap_or(usize::MAX);
                    if !(PAYLOAD_MAX..=0xff_ffff).contains(&size) {
                        return Err(Code::ProtocolError);
                    }
                    self.payload_max = size;
                }
                // The others concern what we never do, and unknown ones nobody.
                _ => {}
            }
        }
        Ok(())
    }
}
