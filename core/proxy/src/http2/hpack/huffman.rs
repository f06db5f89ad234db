//! The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). It is canonical: the lengths of its
//! codes say all.

/// How many bits the code of each byte has; the last is that of the end of a string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,];
const LONGEST: usize = 30;
const SYMBOLS: usize = 257;
/// The symbol that no string may contain.
const END: u16 = 256;
/// How many bits are looked up at once: nearly all of what people write has shorter codes.
const FAST: u32 = 9;

/// What the lengths say, for decoding.
struct Codes {
    /// The symbols by length and then by value: the order of their codes.
    symbols: [u16; SYMBOLS],
    /// For each length the first code of it, aligned to the top of 32 bits; of the one behind it for
    /// lengths without codes.
    first: [u32; LONGEST + 2],
    /// For each length where its symbols begin.
    offset: [u16; LONGEST + 2],
    /// The symbol and its length, by the next bits; length 0 for longer codes.
    fast: [(u8, u8); 1 << FAST],
}

static CODES: Codes = codes();

#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "computed when the program is compiled: a wrong index or number is an error of the build"
)]
const fn codes() -> Codes {
    let mut made = Codes {
        symbols: [0; SYMBOLS],
        first: [u32::MAX; LONGEST + 2],
        offset: [0; LONGEST + 2],
        fast: [(0, 0); 1 << FAST],
    };
    let (mut length, mut code, mut count) = (1, 0_u64, 0);
    while length <= LONGEST {
        made.first[length] = (code << (32 - length)) as u32;
        made.offset[length] = count as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                made.symbols[count] = symbol as u16;
                count += 1;
                if length <= FAST as usize {
                    let spare = FAST as usize - length;
                    let mut at = (code << spare) as usize;
                    let end = at + (1 << spare);
                    while at < end {
                        made.fast[at] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    made
}

/// Decodes a string behind what is in `out`. `None`: it is not well formed (RFC 7541 section 5.2).
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut input = bytes.iter();
    // The bits that were read and not used, at the top.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56 {
            let Some(byte) = input.next() else { break };
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        if count == 0 {
            return Some(());
        }
        let next = usize::try_from(bits >> (64 - FAST)).ok()?;
        let (byte, length) = CODES.fast.get(next).copied()?;
        let length = u32::from(length);
        if length > 0 && length <= count {
            out.push(byte);
            bits <<= length;
            count -= length;
            continue;
        }
        match slow(bits, count) {
            Some((symbol, length)) => {
                out.push(u8::try_from(symbol).ok()?);
                bits <<= length;
                count -= length;
            }
            // What is left may only be the beginning of the code that ends strings.
            None => return (count < 8 && bits.leading_ones() >= count).then_some(()),
        }
    }
}

/// The next symbol and its length, when all of its code is among the first `count` bits.
fn slow(bits: u64, count: u32) -> Option<(u16, u32)> {
    let top = u32::try_from(bits >> 32).ok()?;
    // The last length whose first code is not behind these bits.
    let mut length = 1_u32;
    let first = |length: u32| CODES.first.get(length as usize).copied();
    while (length as usize) < LONGEST && first(length + 1)? <= top {
        length += 1;
    }
    if length > count {
        return None;
    }
    let place = top.wrapping_sub(first(length)?) >> (32 - length);
    let start = u32::from(CODES.offset.get(length as usize).copied()?);
    let symbol = *CODES.symbols.get((start + place) as usize)?;
    (symbol != END).then_some((symbol, length))
}

/// The code of a symbol, as digits.
#[cfg(test)]
pub(super) fn code_of(symbol: u16) -> String {
    let length = usize::from(LENGTHS[usize::from(symbol)]);
    let place = (0..symbol)
        .filter(|before| usize::from(LENGTHS[usize::from(*before)]) == length)
        .count();
    let code = (CODES.first[length] >> (32 - length)) as usize + place;
    format!("{code:0length$b}")
}
