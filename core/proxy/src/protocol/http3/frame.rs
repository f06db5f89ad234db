//! Frames of HTTP/3 (RFC 9114 section 7), and the codes with which streams and connections end.

/// The kinds of frames (RFC 9114 section 7.2).
pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
pub(super) const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
pub(super) const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;

/// The longest integer in bytes (RFC 9000 section 16).
const INTEGER_MAX: usize = 8;

/// Why a stream or a connection ends (RFC 9114 section 8.1, RFC 9204 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    NoError = 0x100,
    GeneralProtocolError = 0x101,
    InternalError = 0x102,
    StreamCreationError = 0x103,
    ClosedCriticalStream = 0x104,
    FrameUnexpected = 0x105,
    FrameError = 0x106,
    ExcessiveLoad = 0x107,
    IdError = 0x108,
    SettingsError = 0x109,
    MissingSettings = 0x10a,
    RequestRejected = 0x10b,
    RequestIncomplete = 0x10d,
    MessageError = 0x10e,
    VersionFallback = 0x110,
    DecompressionFailed = 0x200,
    EncoderStreamError = 0x201,
    DecoderStreamError = 0x202,
}

impl From<Code> for quinn::VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// Whether a kind of frame means something in HTTP/2 alone, so that nobody may send it (RFC 9114 section
/// 7.2.8).
pub(super) const fn is_of_http2(kind: u64) -> bool {
    matches!(kind, 0x2 | 0x6 | 0x8 | 0x9)
}

/// An integer that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Integer {
    bytes: [u8; INTEGER_MAX],
    count: usize,
}

impl Integer {
    /// Takes the next byte; the integer when that was its last.
    pub(super) fn push(&mut self, byte: u8) -> Option<u64> {
        if let Some(place) = self.bytes.get_mut(self.count) {
            *place = byte;
        }
        self.count += 1;
        let [first, ..] = self.bytes;
        let length = 1_usize << (first >> 6);
        if self.count < length {
            return None;
        }
        let bytes = self.bytes.get(..length).unwrap_or_default();
        let all = bytes
            .iter()
            .fold(0_u64, |value, b| value << 8 | u64::from(*b));
        *self = Self::default();
        Some(all & mask(length))
    }

    /// Whether a part of one has come.
    pub(super) const fn is_midway(&self) -> bool {
        self.count > 0
    }
}

/// What the bits of an integer of this many bytes can be.
const fn mask(length: usize) -> u64 {
    match length {
        1 => 0x3f,
        2 => 0x3fff,
        4 => 0x3fff_ffff,
        _ => 0x3fff_ffff_ffff_ffff,
    }
}

/// Reads an integer from the front of whole bytes.
pub(super) fn integer(bytes: &mut &[u8]) -> Option<u64> {
    let mut integer = Integer::default();
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if let Some(value) = integer.push(*byte) {
            return Some(value);
        }
    }
}

/// Writes an integer in as few bytes as it takes; the two highest bits are lost.
pub(super) fn write_integer(value: u64, out: &mut Vec<u8>) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = value.to_be_bytes();
    match value {
        0..=0x3f => out.push(b7),
        0x40..=0x3fff => out.extend([b6 | 0x40, b7]),
        0x4000..=0x3fff_ffff => out.extend([b4 | 0x80, b5, b6, b7]),
        _ => out.extend([b0 | 0xc0, b1, b2, b3, b4, b5, b6, b7]),
    }
}

/// Writes the head of a frame.
pub(super) fn write_head(kind: u64, length: usize, out: &mut Vec<u8>) {
    write_integer(kind, out);
    write_integer(length as u64, out);
}

/// The head of a frame that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadReader {
    kind: Option<u64>,
    integer: Integer,
}

impl HeadReader {
    /// Takes bytes from the front until there is a head: its kind and length.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<(u64, u64)> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            let Some(value) = self.integer.push(*byte) else {
                continue;
            };
            match self.kind.take() {
                None => self.kind = Some(value),
                Some(kind) => return Some((kind, value)),
            }
        }
        None
    }

    /// Whether a part of one has come.
    pub(super) const fn is_midway(&self) -> bool {
        self.kind.is_some() || self.integer.is_midway()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_standard() {
        // RFC 9000 appendix A.1.
        for (bytes, value) in [
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..],
                151_288_809_941_952_652,
            ),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ] {
            let mut rest = bytes;
            assert_eq!(integer(&mut rest), Some(value));
            assert!(rest.is_empty());
            let mut written = Vec::new();
            write_integer(value, &mut written);
            assert_eq!(written, bytes);
        }
        assert_eq!(
            integer(&mut &[0x40, 0x25][..]),
            Some(37),
            "longer than need be"
        );
        assert_eq!(integer(&mut &[0x80, 0, 0][..]), None);
    }

    #[test]
    fn a_head_comes_in_any_pieces() {
        let mut bytes = Vec::new();
        write_head(0x1f * 1000 + 0x21, 70_000, &mut bytes);
        let mut reader = HeadReader::default();
        assert!(!reader.is_midway());
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            assert_eq!(reader.take(&mut &[*byte][..]), None);
            assert!(reader.is_midway());
        }
        assert_eq!(reader.take(&mut &[*last, 9][..]), Some((31_033, 70_000)));
        assert!(!reader.is_midway());
    }
}
