//! An image of a CD with a few small files in its root (ECMA-119, ISO 9660), as machines get their seed
//! (`NoCloud`). Written here, so that whoever provisions needs no program for it.

/// A block of a CD.
const BLOCK: usize = 2048;

/// Blocks at the begin that belong to whoever boots.
const SYSTEM_BLOCKS: usize = 16;

/// Where the parts are: the descriptor, its end, both path tables, the root, and the files behind it.
const PATHS_LITTLE: usize = SYSTEM_BLOCKS + 2;
const PATHS_BIG: usize = PATHS_LITTLE + 1;
const ROOT: usize = PATHS_BIG + 1;
const FILES: usize = ROOT + 1;

/// The image of a CD with this label and these files. Linux shows their names in small letters. The names
/// and the label must fit the root and the descriptor: at most 30 and 32 characters, and at most 20 files.
pub(super) fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut next = FILES;
    let mut root = record(&[0], ROOT, BLOCK, true);
    root.extend(record(&[1], ROOT, BLOCK, true));
    let mut data = Vec::new();
    for (name, content) in files {
        let name = format!("{};1", name.to_ascii_uppercase());
        root.extend(record(name.as_bytes(), next, content.len(), false));
        data.extend_from_slice(content);
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        next = FILES + data.len() / BLOCK;
    }
    let mut image = vec![0; SYSTEM_BLOCKS * BLOCK];
    block(&mut image, &descriptor(label, next));
    block(&mut image, b"\xffCD001\x01");
    block(&mut image, &path_table(u32::to_le_bytes, u16::to_le_bytes));
    block(&mut image, &path_table(u32::to_be_bytes, u16::to_be_bytes));
    block(&mut image, &root);
    image.extend(data);
    image
}

fn block(image: &mut Vec<u8>, content: &[u8]) {
    image.extend_from_slice(content);
    image.resize(image.len().next_multiple_of(BLOCK), 0);
}

/// The one path table that there is: the root (ECMA-119, 9.4).
fn path_table(long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut table = vec![1, 0];
    table.extend(long(number(ROOT)));
    table.extend(short(1));
    table.extend([0, 0]);
    table
}

/// An entry of a folder (ECMA-119, 9.1), without a date.
fn record(name: &[u8], at: usize, bytes: usize, is_folder: bool) -> Vec<u8> {
    let mut entry = vec![0, 0];
    entry.extend(both(number(at)));
    entry.extend(both(number(bytes)));
    entry.extend([0; 7]);
    entry.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    entry.extend(both_short(1));
    entry.push(u8::try_from(name.len()).unwrap_or_default());
    entry.extend_from_slice(name);
    if entry.len() % 2 == 1 {
        entry.push(0);
    }
    entry[0] = u8::try_from(entry.len()).unwrap_or_default();
    entry
}

/// The primary volume descriptor (ECMA-119, 8.4).
fn descriptor(label: &str, blocks: usize) -> Vec<u8> {
    let mut text = b"\x01CD001\x01\x00".to_vec();
    text.extend(padded("", 32));
    text.extend(padded(label, 32));
    text.extend([0; 8]);
    text.extend(both(number(blocks)));
    text.extend([0; 32]);
    text.extend(both_short(1));
    text.extend(both_short(1));
    text.extend(both_short(2048));
    text.extend(both(10));
    text.extend(number(PATHS_LITTLE).to_le_bytes());
    text.extend([0; 4]);
    text.extend(number(PATHS_BIG).to_be_bytes());
    text.extend([0; 4]);
    text.extend(record(&[0], ROOT, BLOCK, true));
    text.extend(padded("", 128 * 4));
    text.extend(padded("", 37 * 3));
    for _ in 0..4 {
        // No date.
        text.extend(*b"0000000000000000\0");
    }
    text.extend([1, 0]);
    text
}

fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A number with the little end first, and once more with the big one.
fn both(value: u32) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}

fn both_short(value: u16) -> Vec<u8> {
    [value.to_le_bytes(), value.to_be_bytes()].concat()
}
