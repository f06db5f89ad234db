//! The head of a response: the same whether it arrives at once or in pieces, and the same again when
//! it is written as it was understood.
#![no_main]

use lb_proxy::codec::{BadMessage, FieldKind, Framing, ResponseHead, Version};
use libfuzzer_sys::fuzz_target;

fn parse(bytes: &[u8], to_head: bool) -> Result<Option<ResponseHead>, BadMessage> {
    let mut head = ResponseHead::default();
    Ok(head.parse(bytes, to_head)?.then_some(head))
}

fuzz_target!(|bytes: &[u8]| {
    for to_head in [false, true] {
        let whole = parse(bytes, to_head);
        for cut in 0..bytes.len().min(600) {
            match (parse(&bytes[..cut], to_head), &whole) {
                (Ok(None), _) | (Err(_), Err(_)) => {}
                (Ok(Some(part)), Ok(Some(whole))) => {
                    assert_eq!(format!("{part:?}"), format!("{whole:?}"));
                }
                (part, whole) => panic!("at {cut}: {part:?}, and with more: {whole:?}"),
            }
        }
        match whole {
            Ok(Some(head)) => check(bytes, &head, to_head),
            Ok(None) => {}
            Err(bad) => assert_eq!(bad.status, 502),
        }
    }
});

fn check(bytes: &[u8], head: &ResponseHead, to_head: bool) {
    assert!(head.length <= bytes.len() && (100..=599).contains(&head.status));
    let line = |bytes: &[u8]| !bytes.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'));
    assert!(line(head.reason(bytes)));
    for field in head.fields.iter() {
        assert!(!field.name(bytes).is_empty() && field.name(bytes).is_ascii());
        assert!(line(field.name(bytes)) && line(field.value(bytes)));
    }
    let count = |kind| head.fields.of(kind).count();
    assert!(count(FieldKind::ContentLength) + count(FieldKind::TransferEncoding) <= 1);
    if to_head || head.status < 200 || matches!(head.status, 204 | 304) {
        assert_eq!(head.framing, Framing::None);
    }
    assert!(!(head.keep_alive && head.framing == Framing::UntilClose));
    let again = write(bytes, head);
    let reread = parse(&again, to_head).expect("legal").expect("whole");
    assert_eq!(parts(&again, &reread), parts(bytes, head));
}

fn write(bytes: &[u8], head: &ResponseHead) -> Vec<u8> {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 | Version::Http3 => panic!("this is read as HTTP/1"),
    };
    let mut out = format!("{version} {} ", head.status).into_bytes();
    out.extend([head.reason(bytes), b"\r\n"].concat());
    for field in head.fields.iter() {
        out.extend([field.name(bytes), b": ", field.value(bytes), b"\r\n"].concat());
    }
    out.extend(b"\r\n");
    out
}

/// Everything that was understood, without where it stood.
fn parts(bytes: &[u8], head: &ResponseHead) -> String {
    let fields: Vec<_> = head
        .fields
        .iter()
        .map(|f| {
            (
                f.name(bytes).escape_ascii(),
                f.value(bytes).escape_ascii(),
                f.kind,
            )
        })
        .map(|(name, value, kind)| format!("{name}: {value} ({kind:?})"))
        .collect();
    format!(
        "{:?} {} {} {:?} {} {} {fields:?}",
        head.version,
        head.status,
        head.reason(bytes).escape_ascii(),
        head.framing,
        head.keep_alive,
        head.windows_auth,
    )
}
