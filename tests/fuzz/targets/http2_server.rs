//! The frames of a server: the same whether they arrive at once or in pieces, and what comes of each stream
//! is a response of HTTP/1.1 with one body, as whoever reads it there sees it.
#![no_main]

use lb_proxy::HeardOfServer;
use lb_proxy::codec::{BodyDecoder, Piece, ResponseHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Nobody finds this by chance.
    let mut sent = b"\0\0\0\x04\0\0\0\0\0".to_vec();
    sent.extend_from_slice(bytes);
    let whole = HeardOfServer::of(&sent, sent.len());
    for piece in [1, 7, 64] {
        let parts = HeardOfServer::of(&sent, piece);
        assert_eq!(parts.broken, whole.broken, "in pieces of {piece}");
    }
    for (index, (text, complete)) in whole.responses.iter().enumerate() {
        check(text, *complete, index == 2);
    }
});

fn check(text: &[u8], complete: bool, to_head: bool) {
    let mut rest = text;
    let mut head = ResponseHead::default();
    loop {
        if rest.is_empty() && !complete {
            return;
        }
        match head.parse(rest, to_head) {
            Ok(true) => rest = &rest[head.length..],
            Ok(false) => panic!("the head does not end"),
            // Refused where responses of HTTP/1.1 are.
            Err(_) => return,
        }
        if head.status >= 200 {
            break;
        }
    }
    let mut body = BodyDecoder::response(head.framing);
    loop {
        let piece = match body.decode(rest) {
            Ok(piece) => piece,
            // Fields are refused where those of HTTP/1.1 are; the framing is our own.
            Err(bad) => return assert!(bad.reason.contains("trailer"), "{bad:?}"),
        };
        match piece {
            Piece::Framing(count) | Piece::Data(count) | Piece::Trailer(count) => {
                rest = &rest[count..];
            }
            Piece::End(count) => {
                assert_eq!(rest.len(), count, "there is something behind the body");
                return;
            }
            Piece::Incomplete => {
                assert!(!complete, "the body does not end");
                return;
            }
        }
    }
}
