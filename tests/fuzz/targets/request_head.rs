//! The head of a request: the same whether it arrives at once or in pieces, within its limits, and
//! the same again when it is written as it was understood.
#![no_main]

use lb_proxy::codec::{BadMessage, FieldKind, Framing, HeadLimits, RequestHead, Version};
use libfuzzer_sys::fuzz_target;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 2048,
    fields_max: 16,
    target_bytes_max: 256,
};

fn parse(bytes: &[u8]) -> Result<Option<RequestHead>, BadMessage> {
    let mut head = RequestHead::default();
    Ok(head.parse(bytes, &LIMITS)?.then_some(head))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    pieces_agree(bytes, &whole);
    match whole {
        Ok(Some(head)) => check(bytes, &head),
        Ok(None) => assert!(bytes.len() <= LIMITS.bytes_max, "it is waited for too long"),
        Err(bad) => assert!(
            matches!(bad.status, 400 | 414 | 417 | 431 | 501 | 505),
            "{bad:?}"
        ),
    }
});

/// What was decided on a part stays decided when more arrives.
fn pieces_agree(bytes: &[u8], whole: &Result<Option<RequestHead>, BadMessage>) {
    for cut in 0..bytes.len().min(600) {
        match (parse(&bytes[..cut]), whole) {
            (Ok(None), _) | (Err(_), Err(_)) => {}
            (Ok(Some(part)), Ok(Some(whole))) => assert_eq!(shown(&part), shown(whole)),
            (part, whole) => panic!("at {cut}: {part:?}, and with more: {whole:?}"),
        }
    }
}

fn shown(head: &RequestHead) -> String {
    format!("{head:?}")
}

fn check(bytes: &[u8], head: &RequestHead) {
    assert!(head.length <= bytes.len() && head.length <= LIMITS.bytes_max);
    assert!(head.fields.iter().count() <= LIMITS.fields_max);
    assert!(head.target(bytes).len() <= LIMITS.target_bytes_max);
    let line = |bytes: &[u8]| !bytes.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'));
    for field in head.fields.iter() {
        assert!(!field.name(bytes).is_empty() && field.name(bytes).is_ascii());
        assert!(line(field.name(bytes)) && line(field.value(bytes)));
    }
    assert!(line(head.target(bytes)) && !head.target(bytes).contains(&b' '));
    assert!(head.path(bytes).starts_with(b"/") || head.path(bytes) == b"*");
    let count = |kind| head.fields.of(kind).count();
    assert!(count(FieldKind::Host) <= 1);
    assert!(count(FieldKind::ContentLength) + count(FieldKind::TransferEncoding) <= 1);
    match head.framing {
        Framing::None => assert_eq!(count(FieldKind::TransferEncoding), 0),
        Framing::Length(length) => assert!(length > 0 && count(FieldKind::ContentLength) == 1),
        Framing::Chunked => assert_eq!(count(FieldKind::TransferEncoding), 1),
        Framing::UntilClose => panic!("a request does not end with its connection"),
    }
    for name in [&b"LB"[..], b"a", b""] {
        assert!(
            head.cookie(bytes, name)
                .is_none_or(|value| line(value) && !value.contains(&b';'))
        );
    }
    let again = write(bytes, head);
    let mut reread = RequestHead::default();
    let limits = HeadLimits {
        bytes_max: 4096,
        ..LIMITS
    };
    assert_eq!(
        reread.parse(&again, &limits),
        Ok(true),
        "{}",
        again.escape_ascii()
    );
    assert_eq!(parts(&again, &reread), parts(bytes, head));
}

fn write(bytes: &[u8], head: &RequestHead) -> Vec<u8> {
    let version = match head.version {
        Version::Http10 => &b"HTTP/1.0\r\n"[..],
        Version::Http11 => b"HTTP/1.1\r\n",
        Version::Http2 | Version::Http3 => panic!("this is read as HTTP/1"),
    };
    let mut out = [head.method(bytes), b" ", head.target(bytes), b" ", version].concat();
    for field in head.fields.iter() {
        out.extend([field.name(bytes), b": ", field.value(bytes), b"\r\n"].concat());
    }
    out.extend(b"\r\n");
    out
}

/// Everything that was understood, without where it stood.
fn parts(bytes: &[u8], head: &RequestHead) -> String {
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
        "{} {} {} {} {:?} {:?} {} {} {} {} {fields:?}",
        head.method(bytes).escape_ascii(),
        head.target(bytes).escape_ascii(),
        head.host(bytes).escape_ascii(),
        head.authority(bytes).escape_ascii(),
        head.version,
        head.framing,
        head.keep_alive,
        head.expects_continue,
        head.upgrade,
        head.windows_auth,
    )
}
