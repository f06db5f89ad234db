use super::*;

fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, NotHpack> {
    let mut found = Vec::new();
    decoder.decode(block, |name, value| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((text(name), text(value)));
    })?;
    Ok(found)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    list.iter().map(pair).collect()
}

/// RFC 7541 appendix C.4.
#[test]
fn the_requests_of_the_standard_are_understood() {
    let mut decoder = Decoder::default();
    let first = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ];
    let block = hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    assert_eq!(fields(&mut decoder, &block).unwrap(), pairs(&first));
    let block = hex("8286 84be 5886 a8eb 1064 9cbf");
    let mut second = pairs(&first);
    second.extend(pairs(&[("cache-control", "no-cache")]));
    assert_eq!(fields(&mut decoder, &block).unwrap(), second);
    let block = hex("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf");
    let third = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    assert_eq!(fields(&mut decoder, &block).unwrap(), pairs(&third));
    assert_eq!(decoder.size, 164);
}

/// RFC 7541 appendix C.6: a table of 256 bytes, whose oldest entries go.
#[test]
fn old_entries_make_room_for_new_ones() {
    let mut decoder = Decoder {
        size_max: 256,
        ..Decoder::default()
    };
    let block = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
                 ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
    let found = fields(&mut decoder, &hex(block)).unwrap();
    assert_eq!(found.first().unwrap(), &pairs(&[(":status", "302")])[0]);
    assert_eq!(found.last().unwrap().1, "https://www.example.com");
    assert_eq!(decoder.size, 222);
    assert_eq!(
        fields(&mut decoder, &hex("4883 640e ffc1 c0bf")).unwrap()[0].1,
        "307"
    );
    assert_eq!(decoder.size, 222);
    let block = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
                 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
                 65c0 03ed 4ee5 b106 3d50 07";
    let found = fields(&mut decoder, &hex(block)).unwrap();
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    assert_eq!(found.last().unwrap().1, cookie);
    assert_eq!((decoder.size, decoder.entries.len()), (215, 3));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let bad = [
        "80",                      // index 0
        "be",                      // an entry that is not there
        "ff 80 80 80 80 80 01",    // a number without end
        "ff ff ff ff ff 7f",       // and one that is too large
        "3f e2 1f",                // a table larger than allowed: 4097
        "82 3f 00",                // a new size behind a field
        "40 05 61 62",             // a string that is not all there
        "00 81 ff 01 61",          // eight bits of padding
        "00 84 ff ff ff ff 01 61", // the end of a string in a string
        "00 81 18 01 61",          // padding of zeros: `o` has five bits, 00111
        "40",
    ];
    for block in bad {
        assert_eq!(
            fields(&mut Decoder::default(), &hex(block)),
            Err(NotHpack),
            "{block}"
        );
    }
    // 4096 is allowed, and 0 empties the table.
    let mut decoder = Decoder::default();
    assert!(fields(&mut decoder, &hex("3f e1 1f 40 01 61 01 62")).is_ok());
    assert_eq!(decoder.entries.len(), 1);
    assert!(fields(&mut decoder, &hex("20 40 01 61 01 62")).is_ok());
    assert_eq!((decoder.entries.len(), decoder.size), (0, 0));
}

#[test]
fn every_byte_survives_the_code_of_strings() {
    // Encoded here by the lengths alone, in the slowest way.
    let all: Vec<u8> = (0..=255).chain(*b"plain words, too").collect();
    let mut bits = String::new();
    for byte in &all {
        bits.push_str(&huffman::code_of(u16::from(*byte)));
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    let digit = |byte: u8, bit: &u8| byte << 1 | (bit - b'0');
    let coded: Vec<u8> = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| byte.iter().fold(0, digit))
        .collect();
    let mut out = Vec::new();
    huffman::decode(&coded, &mut out).unwrap();
    assert_eq!(out, all);
}

#[test]
fn what_we_write_is_understood_and_leaves_no_trace() {
    let mut decoder = Decoder::default();
    let long = "v".repeat(300);
    let sent = [
        ("Content-Type", "text/html"),
        ("SERVER", ""),
        ("X-Unknown-Name", long.as_str()),
        ("Set-Cookie", "a=b"),
    ];
    let mut block = Vec::new();
    write_status(200, &mut block);
    for (name, value) in sent {
        write_field(
            name.as_bytes(),
            value.as_bytes(),
            name == "Set-Cookie",
            &mut block,
        );
    }
    write_status(451, &mut block);
    let mut wanted = pairs(&[(":status", "200")]);
    for (name, value) in sent {
        wanted.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    wanted.extend(pairs(&[(":status", "451")]));
    assert_eq!(fields(&mut decoder, &block).unwrap(), wanted);
    assert_eq!(decoder.entries.len(), 0);
}

#[test]
fn every_name_of_the_static_table_is_found() {
    for (name, _) in STATIC {
        let first = STATIC.iter().position(|known| known.0 == name).unwrap() + 1;
        assert_eq!(static_name(&name.to_ascii_uppercase()), Some(first));
    }
    assert_eq!(static_name(b"x-other"), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_keep_more_than_it_may(blocks in proptest::collection::vec(
        proptest::collection::vec(proptest::num::u8::ANY, 0..200), 0..20)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _outcome = decoder.decode(&block, |_, _| {});
            let size: usize = decoder.entries.iter().map(|e| e.bytes.len() + ENTRY_COST).sum();
            assert_eq!(size, decoder.size);
            assert!(size <= TABLE_MAX);
        }
    }
}
