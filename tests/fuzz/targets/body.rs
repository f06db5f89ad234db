//! Bodies: the same whether they arrive at once or in pieces, and what is encoded decodes to itself.
#![no_main]

use lb_proxy::codec::{BodyDecoder, Framing, Piece};
use libfuzzer_sys::fuzz_target;

/// What the balancer reads into: a decoder that wants to see more at once would wait for ever.
const READ_BUFFER: usize = 16 * 1024;

#[derive(Debug, Default, PartialEq, Eq)]
struct Decoded {
    data: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    done: bool,
}

/// Decodes what arrives in pieces of these sizes, in turn. Nothing: it is refused.
fn decode(framing: Framing, bytes: &[u8], sizes: &[u8]) -> Option<Decoded> {
    let mut decoder = BodyDecoder::request(framing);
    let mut decoded = Decoded::default();
    let mut arrived = 0;
    let mut sizes = sizes.iter().cycle();
    loop {
        let input = &bytes[decoded.consumed..arrived];
        let expected = decoder.expected();
        let count = match decoder.decode(input).ok()? {
            Piece::Framing(count) => count,
            Piece::Data(count) => {
                assert!(count > 0 && count as u64 <= expected);
                decoded.data.extend(&input[..count]);
                count
            }
            Piece::Trailer(count) => {
                assert!(input[..count].ends_with(b"\r\n"));
                decoded.trailers.extend(&input[..count]);
                count
            }
            Piece::End(count) => {
                assert!(count <= input.len() && decoder.is_done());
                decoded.consumed += count;
                decoded.done = true;
                return Some(decoded);
            }
            Piece::Incomplete if arrived == bytes.len() => {
                assert!(input.len() < READ_BUFFER, "it is waited for too long");
                return Some(decoded);
            }
            Piece::Incomplete => {
                let size = sizes
                    .next()
                    .map_or(usize::MAX, |size| usize::from(*size) + 1);
                arrived = bytes.len().min(arrived.saturating_add(size));
                continue;
            }
        };
        assert!(count > 0 && count <= input.len());
        decoded.consumed += count;
    }
}

/// Writes a body in chunks of these sizes.
fn encode(data: &[u8], sizes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = data;
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| usize::from(*size) + 1);
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        out.extend(format!("{:x};x=y\r\n", chunk.len()).bytes());
        out.extend([chunk, b"\r\n"].concat());
        rest = after;
    }
    out.extend(b"0\r\nX-Sum: 1\r\nHost: dropped\r\n\r\n");
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else {
        return;
    };
    let (sizes, bytes) = rest.split_at(usize::from(count % 8).min(rest.len()));
    for framing in [
        Framing::None,
        Framing::Length(1 + bytes.len() as u64 / 2),
        Framing::Chunked,
    ] {
        let whole = decode(framing, bytes, &[]);
        let pieces = decode(framing, bytes, sizes);
        let singly = decode(framing, bytes, &[0]);
        assert_eq!(whole, singly, "byte by byte");
        assert_eq!(whole, pieces, "in pieces");
    }
    let encoded = encode(bytes, sizes);
    let decoded = decode(Framing::Chunked, &[&encoded[..], b"GET"].concat(), sizes);
    let expected = Decoded {
        data: bytes.to_vec(),
        trailers: b"X-Sum: 1\r\n".to_vec(),
        consumed: encoded.len(),
        done: true,
    };
    assert_eq!(decoded, Some(expected));
});
