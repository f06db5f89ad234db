//! What a TLS client says first: the same whether it arrives at once or in pieces or in many records,
//! within its limit, and with nothing in it that a rule or a log could be led astray with.
#![no_main]

use lb_proxy::{ClientHello, HELLO_MAX, NotHello};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = ClientHello::parse(bytes);
    for cut in 0..bytes.len().min(600) {
        match (ClientHello::parse(&bytes[..cut]), &whole) {
            (Ok(None), _) => {}
            (part, whole) => assert_eq!(&part, whole, "at {cut}"),
        }
    }
    match &whole {
        Ok(Some(hello)) => {
            check(hello);
            in_crumbs(bytes, hello);
        }
        Ok(None) => assert!(bytes.len() < HELLO_MAX, "it is waited for too long"),
        Err(_) => {}
    }
});

fn check(hello: &ClientHello) {
    if let Some(name) = &hello.server_name {
        assert!(!name.is_empty() && name.len() <= 255);
        assert!(name.bytes().all(|b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.')
        }));
    }
    assert!(hello.protocols.iter().all(|name| !name.is_empty()));
}

/// The same message, in records of one byte each.
fn in_crumbs(bytes: &[u8], hello: &ClientHello) {
    let mut message = Vec::new();
    let mut rest = bytes;
    let whole = |message: &[u8]| {
        let length = message.get(1..4)?;
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (message.len() >= length + 4).then_some(())
    };
    while whole(&message).is_none() {
        let length = usize::from(u16::from_be_bytes([rest[3], rest[4]]));
        message.extend(&rest[5..5 + length]);
        rest = &rest[5 + length..];
    }
    let crumbs: Vec<u8> = message
        .iter()
        .flat_map(|byte| [22, 3, 3, 0, 1, *byte])
        .collect();
    let again = ClientHello::parse(&crumbs);
    // It is too much, or the same.
    if again != Err(NotHello::TooLong) || crumbs.len() < HELLO_MAX {
        assert_eq!(again.as_ref(), Ok(&Some(hello.clone())));
    }
}
