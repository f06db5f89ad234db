//! Header compression of HTTP/2 (RFC 7541). What we send refers to the static table alone, so that
//! there is no state to keep for it and frames may be sent in any order; what we receive may use all.

use std::collections::VecDeque;

mod fixed;
pub(crate) mod huffman;
#[cfg(test)]
mod tests;

use fixed::STATIC;

/// How many bytes the table of a peer may take: the value that holds without a word about it.
const TABLE_MAX: usize = 4096;
/// What an entry costs beyond its name and value (RFC 7541 section 4.1).
pub(crate) const ENTRY_COST: usize = 32;

/// A header block that is not well formed. The tables of both sides differ from then on, so the
/// connection cannot be used any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHpack;

/// Understands the header blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    /// The newest entry is at the front.
    entries: VecDeque<Entry>,
    size: usize,
    /// What the peer has limited itself to.
    size_max: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A name and its value.
#[derive(Debug)]
struct Entry {
    bytes: Box<[u8]>,
    name_length: usize,
}

/// How a literal says what becomes of it.
#[derive(Clone, Copy)]
enum Literal {
    Keep,
    Pass,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_MAX,
            name: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl Decoder {
    /// Tells each name and value of a whole block.
    ///
    /// # Errors
    /// The block is not well formed; what came before the fault has been told.
    pub fn decode(
        &mut self,
        mut block: &[u8],
        mut tell: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), NotHpack> {
        let mut may_resize = true;
        while let Some(first) = block.first().copied() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.field(index).ok_or(NotHpack)?;
                tell(name, value);
            } else if first & 0xc0 == 0x40 {
                self.literal(&mut block, 6, Literal::Keep, &mut tell)?;
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut block, 5)?;
                // Only the beginning of a block may change the size (RFC 7541 section 4.2).
                if !may_resize || size > TABLE_MAX {
                    return Err(NotHpack);
                }
                self.size_max = size;
                self.evict(0);
                continue;
            } else {
                self.literal(&mut block, 4, Literal::Pass, &mut tell)?;
            }
            may_resize = false;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        prefix: u32,
        literal: Literal,
        tell: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<(), NotHpack> {
        let index = integer(block, prefix)?;
        // Taken out, so that the table can be looked into while they are written.
        let (mut name, mut value) = (
            std::mem::take(&mut self.name),
            std::mem::take(&mut self.value),
        );
        name.clear();
        value.clear();
        if index == 0 {
            string(block, &mut name)?;
        } else {
            name.extend_from_slice(self.field(index).ok_or(NotHpack)?.0);
        }
        string(block, &mut value)?;
        tell(&name, &value);
        if matches!(literal, Literal::Keep) {
            self.insert(&name, &value);
        }
        self.name = name;
        self.value = value;
        Ok(())
    }

    fn field(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some(field) = STATIC.get(index) {
            return Some(*field);
        }
        let entry = self.entries.get(index - STATIC.len())?;
        entry.bytes.split_at_checked(entry.name_length)
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY_COST;
        self.evict(size);
        if size <= self.size_max {
            self.size += size;
            let mut bytes = Vec::with_capacity(name.len() + value.len());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
            self.entries.push_front(Entry {
                bytes: bytes.into_boxed_slice(),
                name_length: name.len(),
            });
        }
    }

    /// Makes room for an entry of this size, as far as entries can.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.bytes.len() + ENTRY_COST;
        }
    }

    /// Gives back memory that one unusual block has made it take.
    pub(crate) fn shrink(&mut self) {
        const KEEP: usize = 1024;
        self.name.clear();
        self.value.clear();
        self.name.shrink_to(KEEP);
        self.value.shrink_to(KEEP);
    }
}

/// An integer whose first byte has `prefix` bits of it (RFC 7541 section 5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, NotHpack> {
    let (first, mut rest) = block.split_first().ok_or(NotHpack)?;
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, behind) = rest.split_first().ok_or(NotHpack)?;
            rest = behind;
            // Nothing that is counted here is as large as what more bytes could say.
            if shift > 21 {
                return Err(NotHpack);
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

/// A string, behind what is in `out` (RFC 7541 section 5.2).
fn string(block: &mut &[u8], out: &mut Vec<u8>) -> Result<(), NotHpack> {
    let coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(NotHpack)?;
    *block = rest;
    if coded {
        huffman::decode(bytes, out).ok_or(NotHpack)
    } else {
        out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Writes the status of a response.
pub(crate) fn write_status(status: u16, out: &mut Vec<u8>) {
    let known = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or(0);
            out.extend([0x08, 3, digit(100), digit(10), digit(1)]);
            return;
        }
    };
    out.push(0x80 | known);
}

/// Writes a pseudo-field of a request.
pub(crate) fn write_pseudo(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    // They are the first of the table, behind `:authority`.
    let mut known = (2_u8..8).zip(STATIC.iter().skip(1));
    match known.find(|(_, field)| **field == (name, value)) {
        Some((index, _)) => out.push(0x80 | index),
        None => write_field(name, value, false, out),
    }
}

/// Writes a field, its name in small letters. No table keeps it on the way if it is `secret`.
pub(crate) fn write_field(name: &[u8], value: &[u8], secret: bool, out: &mut Vec<u8>) {
    let kind = if secret { 0x10 } else { 0 };
    if let Some(index) = static_name(name) {
        write_integer(index, 4, kind, out);
    } else {
        out.push(kind);
        write_integer(name.len(), 7, 0, out);
        out.extend(name.iter().map(u8::to_ascii_lowercase));
    }
    write_integer(value.len(), 7, 0, out);
    out.extend_from_slice(value);
}

/// The first entry of the static table with this name, however it is written.
fn static_name(name: &[u8]) -> Option<usize> {
    // Only those of the same length can be it.
    let candidates: &[usize] = match name.len() {
        3 => &[21, 60],
        4 => &[33, 34, 37, 38, 45, 59],
        5 => &[4, 22, 50],
        6 => &[19, 32, 35, 54],
        7 => &[2, 6, 8, 36, 51, 52],
        8 => &[39, 42, 46],
        10 => &[1, 55, 58],
        11 => &[53],
        12 => &[31, 47],
        13 => &[18, 23, 24, 30, 41, 44],
        14 => &[15, 28],
        15 => &[16, 17],
        16 => &[26, 27, 29, 61],
        17 => &[40, 57],
        18 => &[48],
        19 => &[25, 43, 49],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    candidates.iter().copied().find(|index| {
        let known = STATIC.get(index - 1).map_or(&b""[..], |known| known.0);
        known.eq_ignore_ascii_case(name)
    })
}

/// Writes an integer behind the bits of `first` (RFC 7541 section 5.1).
fn write_integer(value: usize, prefix: u32, first: u8, out: &mut Vec<u8>) {
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
