use super::*;

fn fields(block: &[u8]) -> Result<Vec<(String, String)>, NotQpack> {
    let mut found = Vec::new();
    let mut room = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decode(block, &mut room, |name, value| {
        found.push((text(name), text(value)));
    })?;
    Ok(found)
}

#[test]
fn the_block_of_the_standard_without_a_table_is_understood() {
    // RFC 9204 appendix B.1.
    let block = b"\x00\x00\x51\x0b/index.html";
    let expected = (":path".to_owned(), "/index.html".to_owned());
    assert_eq!(fields(block), Ok(vec![expected]));
}

#[test]
fn what_needs_a_table_or_is_not_whole_is_refused() {
    for block in [
        &b""[..],
        b"\x00",
        // It needs an entry of the table.
        b"\x02\x00\x80",
        b"\x00\x00\x80",
        b"\x00\x00\x10",
        b"\x00\x00\x00\x01a",
        b"\x00\x00\x40\x01a",
        // Beyond the static table.
        b"\x00\x00\xff\x24",
        b"\x00\x00\x5f\x60\x01a",
        // Not whole.
        b"\x00\x00\x51\x05ab",
        b"\x00\x00\x27\x05ab",
        b"\x00\x00\xff",
        b"\x00\x00\x51\xff\xff\xff\xff\xff\x0f",
    ] {
        assert_eq!(fields(block), Err(NotQpack), "{block:x?}");
    }
}

#[test]
fn what_we_write_is_understood() {
    let mut block = Vec::new();
    begin(&mut block);
    let statuses = [200_u16, 103, 404, 418, 503, 101, 599, 425];
    for status in statuses {
        write_status(status, &mut block);
    }
    let long = "v".repeat(70_000);
    let sent = [
        ("Content-Type", "text/html", false),
        ("Set-Cookie", "a=b", true),
        ("X-Own", &*long, false),
        ("x-frame-options", "sameorigin", false),
        ("A-Name-That-Is-Rather-Long-For-A-Prefix", "", true),
    ];
    for (name, value, secret) in sent {
        write_field(name.as_bytes(), value.as_bytes(), secret, &mut block);
    }
    let found = fields(&block).unwrap();
    let (of_status, others) = found.split_at(statuses.len());
    for ((name, value), status) in of_status.iter().zip(statuses) {
        assert_eq!((&**name, value.parse()), (":status", Ok(status)));
    }
    let expected = sent.map(|(name, value, _)| (name.to_ascii_lowercase(), value.to_owned()));
    assert_eq!(others, expected);
}

#[test]
fn every_name_of_the_static_table_is_found() {
    for (name, _) in STATIC.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let upper = name.to_ascii_uppercase();
        let first = STATIC.iter().position(|(known, _)| known == name);
        assert_eq!(static_name(&upper), first, "{}", name.escape_ascii());
    }
    assert_eq!(static_name(b"x-own"), None);
}

#[test]
fn a_client_without_a_table_may_say_little_on_its_streams() {
    assert_eq!(EncoderStream::take(b"\x20\x20"), Ok(()));
    for wrong in [
        &b"\x21"[..],
        b"\x3f\xe1\x1f",
        b"\xc0\x01a",
        b"\x41a\x01b",
        b"\x00",
    ] {
        assert_eq!(EncoderStream::take(wrong), Err(Code::EncoderStreamError));
    }
    let mut stream = DecoderStream::default();
    assert_eq!(stream.take(b"\x44\x7f\x80"), Ok(()));
    assert_eq!(stream.take(b"\x01\x48"), Ok(()));
    for wrong in [
        &b"\x80"[..],
        b"\x01",
        b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = DecoderStream::default();
        assert_eq!(
            stream.take(wrong),
            Err(Code::DecoderStreamError),
            "{wrong:x?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(block in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _fields = fields(&block);
        let _encoder = EncoderStream::take(&block);
        let _decoder = DecoderStream::default().take(&block);
    }
}
