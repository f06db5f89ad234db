//! The frames of a client: the same whether they arrive at once or in pieces, and each request that comes
//! of them is exactly one head of HTTP/1.1, as whoever reads it there sees it.
#![no_main]

use lb_proxy::Heard;
use lb_proxy::codec::{Framing, HeadLimits, RequestHead};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 8192,
    fields_max: 64,
    target_bytes_max: 2048,
};

fuzz_target!(|bytes: &[u8]| {
    // Nobody finds these by chance.
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    sent.extend_from_slice(bytes);
    let whole = Heard::of(&sent, sent.len(), LIMITS);
    for piece in [1, 7, 64] {
        let parts = Heard::of(&sent, piece, LIMITS);
        assert_eq!(parts.broken, whole.broken, "in pieces of {piece}");
        // The keys of WebSockets are random.
        let lengths = |heard: &Heard| heard.requests.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&parts), lengths(&whole), "in pieces of {piece}");
    }
    for text in &whole.requests {
        let limits = HeadLimits {
            bytes_max: 2 * LIMITS.bytes_max,
            fields_max: 2 * LIMITS.fields_max,
            ..LIMITS
        };
        let mut head = RequestHead::default();
        match head.parse(text, &limits) {
            Ok(true) => {
                assert_eq!(head.length, text.len(), "there is something behind the head");
                let chunked = head.framing == Framing::Chunked;
                let lines = text.split(|b| *b == b'\n');
                let said = lines.filter(|line| line.starts_with(b"Transfer-Encoding:")).count();
                assert_eq!(said, usize::from(chunked));
            }
            Ok(false) => panic!("the head does not end"),
            // Refused where requests of HTTP/1.1 are.
            Err(_) => {}
        }
    }
});
