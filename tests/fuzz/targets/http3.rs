//! The streams of a client: the same whether they arrive at once or in pieces, and what comes of a request
//! is exactly one head of HTTP/1.1, as whoever reads it there sees it.
#![no_main]

use lb_proxy::Heard3;
use lb_proxy::codec::{HeadLimits, RequestHead};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 8192,
    fields_max: 64,
    target_bytes_max: 2048,
};

fuzz_target!(|bytes: &[u8]| {
    // The first byte says which kind of stream it is.
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    if kind & 1 == 1 {
        let whole = Heard3::one_way(bytes, bytes.len());
        for piece in [1, 7, 64] {
            assert_eq!(Heard3::one_way(bytes, piece), whole, "in pieces of {piece}");
        }
        return;
    }
    let whole = Heard3::of(bytes, bytes.len(), LIMITS);
    for piece in [1, 7, 64] {
        let parts = Heard3::of(bytes, piece, LIMITS);
        assert_eq!(parts.broken, whole.broken, "in pieces of {piece}");
        // The keys of WebSockets are random.
        let length = |heard: &Heard3| heard.head.as_ref().map(Vec::len);
        assert_eq!(length(&parts), length(&whole), "in pieces of {piece}");
        if whole.broken.is_none() {
            assert_eq!(parts.body, whole.body, "in pieces of {piece}");
        }
    }
    let Some(text) = &whole.head else { return };
    let limits = HeadLimits {
        bytes_max: 2 * LIMITS.bytes_max,
        fields_max: 2 * LIMITS.fields_max,
        ..LIMITS
    };
    let mut head = RequestHead::default();
    match head.parse(text, &limits) {
        Ok(true) => assert_eq!(head.length, text.len(), "there is something behind the head"),
        Ok(false) => panic!("the head does not end"),
        // Refused where requests of HTTP/1.1 are.
        Err(_) => {}
    }
});
