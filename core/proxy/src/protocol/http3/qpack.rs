//! Header compression of HTTP/3 (RFC 9204) without its dynamic table: our settings say that a client has
//! none with us, and we use none with it. So a block is understood by itself, no stream waits for another
//! one, and there is nothing that a client could make us keep.

mod fixed;
#[cfg(test)]
mod tests;

use super::frame::Code;
use crate::http2::hpack::huffman;
use fixed::STATIC;

/// A block that is not well formed, or that refers to a table that there is not. The connection cannot be
/// used any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotQpack;

/// Tells each name and value of a block. `room` is memory for those that are not in the block as they
/// are.
///
/// # Errors
/// The block is not well formed; what came before the fault has been told.
pub fn decode(
    mut block: &[u8],
    room: &mut Vec<u8>,
    mut tell: impl FnMut(&[u8], &[u8]),
) -> Result<(), NotQpack> {
    let block = &mut block;
    // How many entries of the dynamic table it needs, and from where they are counted (section 4.5.1).
    if integer(block, 8)? != 0 {
        return Err(NotQpack);
    }
    integer(block, 7)?;
    while let Some(first) = block.first().copied() {
        room.clear();
        if first & 0xc0 == 0xc0 {
            // An indexed field line of the static table.
            let (name, value) = entry(integer(block, 6)?)?;
            tell(name, value);
        } else if first & 0xd0 == 0x50 {
            // A literal with a name of the static table.
            let (name, _) = entry(integer(block, 4)?)?;
            string(block, 7, room)?;
            tell(name, room);
        } else if first & 0xe0 == 0x20 {
            // A literal with a literal name.
            string(block, 3, room)?;
            let name_length = room.len();
            string(block, 7, room)?;
            let (name, value) = room.split_at_checked(name_length).ok_or(NotQpack)?;
            tell(name, value);
        } else {
            return Err(NotQpack);
        }
    }
    Ok(())
}

fn entry(index: usize) -> Result<(&'static [u8], &'static [u8]), NotQpack> {
    STATIC.get(index).copied().ok_or(NotQpack)
}

/// An integer whose first byte has `prefix` bits of it (RFC 7541 section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, NotQpack> {
    let (first, mut rest) = block.split_first().ok_or(NotQpack)?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, behind) = rest.split_first().ok_or(NotQpack)?;
            rest = behind;
            // Nothing that is counted here is as large as what more bytes could say.
            if shift > 21 {
                return Err(NotQpack);
            }
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// A string whose length has `prefix` bits in its first byte, behind the one that says whether it is coded
/// (section 4.1.2). It goes behind what is in `out`.
fn string(block: &mut &[u8], prefix: u32, out: &mut Vec<u8>) -> Result<(), NotQpack> {
    let coded = block.first().is_some_and(|first| first >> prefix & 1 != 0);
    let length = integer(block, prefix)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(NotQpack)?;
    *block = rest;
    if coded {
        huffman::decode(bytes, out).ok_or(NotQpack)
    } else {
        out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Begins a block.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend([0, 0]);
}

/// Writes the status of a response.
pub(super) fn write_status(status: u16, out: &mut Vec<u8>) {
    let known = match status {
        103 => 24,
        200 => 25,
        304 => 26,
        404 => 27,
        503 => 28,
        100 => 63,
        204 => 64,
        206 => 65,
        302 => 66,
        400 => 67,
        403 => 68,
        421 => 69,
        425 => 70,
        500 => 71,
        _ => {
            let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or(0);
            write_prefixed(24, 4, 0x50, out);
            out.extend([3, digit(100), digit(10), digit(1)]);
            return;
        }
    };
    write_prefixed(known, 6, 0xc0, out);
}

/// Writes a field, its name in small letters. No table keeps it on the way if it is `secret`.
pub(super) fn write_field(name: &[u8], value: &[u8], secret: bool, out: &mut Vec<u8>) {
    if let Some(index) = static_name(name) {
        write_prefixed(index, 4, if secret { 0x70 } else { 0x50 }, out);
    } else {
        write_prefixed(name.len(), 3, if secret { 0x30 } else { 0x20 }, out);
        out.extend(name.iter().map(u8::to_ascii_lowercase));
    }
    write_prefixed(value.len(), 7, 0, out);
    out.extend_from_slice(value);
}

/// The first entry of the static table with this name, however it is written.
fn static_name(name: &[u8]) -> Option<usize> {
    // Only those of the same length can be it.
    let candidates: &[usize] = match name.len() {
        3 => &[2],
        4 => &[6, 7, 11, 59],
        5 => &[55],
        6 => &[5, 29, 90, 92],
        7 => &[13, 83, 91],
        8 => &[12, 89],
        9 => &[87, 88],
        10 => &[14, 86, 95],
        12 => &[44],
        13 => &[9, 10, 32, 36, 84],
        14 => &[4],
        15 => &[31, 72, 96, 97],
        16 => &[42, 62],
        17 => &[8],
        19 => &[3, 93],
        22 => &[61],
        23 => &[85],
        25 => &[56, 94],
        27 => &[35],
        28 => &[33, 76],
        29 => &[79, 81],
        30 => &[80],
        32 => &[73],
        _ => &[],
    };
    candidates.iter().copied().find(|index| {
        let known = STATIC.get(*index).map_or(&b""[..], |known| known.0);
        known.eq_ignore_ascii_case(name)
    })
}

/// Writes an integer behind the bits of `first` (RFC 7541 section 5.1).
fn write_prefixed(value: usize, prefix: u32, first: u8, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    let byte = |value: usize| u8::try_from(value & 0xff).unwrap_or(0);
    if value < mask {
        out.push(first | byte(value));
        return;
    }
    out.push(first | byte(mask));
    let mut left = value - mask;
    while left >= 0x80 {
        out.push(byte(left) | 0x80);
        left >>= 7;
    }
    out.push(byte(left));
}

/// What a client says on its encoder stream (section 4.3): that it has no table, as nothing else is
/// allowed.
#[derive(Debug, Default)]
pub(super) struct EncoderStream;

impl EncoderStream {
    /// # Errors
    /// It uses a table that it may not have.
    pub(super) fn take(bytes: &[u8]) -> Result<(), Code> {
        // The only instruction that leaves the table as it is says that its capacity is 0.
        if bytes.iter().all(|byte| *byte == 0x20) {
            Ok(())
        } else {
            Err(Code::EncoderStreamError)
        }
    }
}

/// What a client says on its decoder stream (section 4.4): which streams it does not read, as nothing else
/// can be true.
#[derive(Debug, Default)]
pub(super) struct DecoderStream {
    /// How many bytes of a number that goes on have come.
    continued: u8,
}

impl DecoderStream {
    /// # Errors
    /// It has understood what we have never sent.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), Code> {
        for byte in bytes {
            if self.continued > 0 {
                self.continued = if byte & 0x80 == 0 {
                    0
                } else {
                    self.continued + 1
                };
                // The number of a stream has 62 bits.
                if self.continued > 9 {
                    return Err(Code::DecoderStreamError);
                }
            } else if byte & 0xc0 == 0x40 {
                self.continued = u8::from(byte & 0x3f == 0x3f);
            } else {
                return Err(Code::DecoderStreamError);
            }
        }
        Ok(())
    }
}
