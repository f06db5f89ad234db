use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes_max: 131_072,
    fields_max: 128,
    target_bytes_max: 16_384,
};

fn parse(bytes: &[u8]) -> Result<Option<RequestHead>, BadMessage> {
    let mut head = RequestHead::default();
    Ok(head.parse(bytes, &LIMITS)?.then_some(head))
}

fn status(bytes: &[u8]) -> u16 {
    parse(bytes).expect_err("a refusal").status
}

#[test]
fn a_plain_request_is_read_with_its_parts() {
    let bytes =
        b"GET /a/b?c=d HTTP/1.1\r\nHost: Shop.Example:8080\r\nCookie: a=1; LB=xyz\r\n\r\nrest";
    let head = parse(bytes).expect("legal").expect("complete");
    assert_eq!(head.length, bytes.len() - 4);
    assert_eq!(head.method(bytes), b"GET");
    assert_eq!(head.path(bytes), b"/a/b");
    assert_eq!(head.query(bytes), b"?c=d");
    assert_eq!(head.host(bytes), b"Shop.Example");
    assert_eq!(head.authority(bytes), b"Shop.Example:8080");
    assert_eq!(head.cookie(bytes, b"LB"), Some(&b"xyz"[..]));
    assert!(head.keep_alive);
}

#[test]
fn every_cut_of_a_request_is_incomplete_and_not_an_error() {
    let bytes = b"\r\nPOST http://h:1/x HTTP/1.1\r\nHost: h:1\r\nContent-Length: 10\r\n\r\n";
    for cut in 0..bytes.len() {
        assert!(
            parse(&bytes[..cut]).expect("no error").is_none(),
            "cut at {cut}"
        );
    }
    assert!(parse(bytes).expect("legal").is_some());
}

#[test]
fn raw_bytes_in_a_target_pass() {
    let bytes = b"GET /\xff\xfe\"<> HTTP/1.1\r\nHost: h\r\n\r\n";
    let head = parse(bytes).expect("legal").expect("complete");
    assert_eq!(head.target(bytes), b"/\xff\xfe\"<>");
}

#[test]
fn ambiguous_framing_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 9223372036854775808",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: \x0bchunked",
        "X: y\r\n folded",
        "X: a\rb",
        "X: a\nY: b",
        "Host: other",
    ] {
        let message = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        assert_eq!(status(message.as_bytes()), 400, "{fields:?}");
    }
    assert_eq!(
        status(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n"),
        501
    );
    assert_eq!(
        status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        400
    );
    assert_eq!(status(b"GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
    assert_eq!(status(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"), 501);
}

fn decode(mut input: &[u8], framing: Framing) -> Result<(Vec<u8>, Vec<u8>, usize), BadMessage> {
    let mut decoder = BodyDecoder::request(framing);
    let (mut data, mut trailers, before) = (Vec::new(), Vec::new(), input.len());
    loop {
        let count = match decoder.decode(input)? {
            Piece::Framing(count) => count,
            Piece::Data(count) => {
                data.extend_from_slice(&input[..count]);
                count
            }
            Piece::Trailer(count) => {
                trailers.extend_from_slice(&input[..count]);
                count
            }
            Piece::End(count) => return Ok((data, trailers, before - input.len() + count)),
            Piece::Incomplete => {
                return Err(BadMessage {
                    status: 0,
                    reason: "incomplete",
                });
            }
        };
        input = &input[count..];
    }
}

#[test]
fn chunks_are_decoded_with_trailers_and_what_follows_is_left() {
    let body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\nGET";
    let (data, trailers, consumed) = decode(body, Framing::Chunked).expect("legal");
    assert_eq!(data, b"hello world");
    assert_eq!(trailers, b"X-Sum: 1\r\n");
    assert_eq!(consumed, body.len() - 3);
}

#[test]
fn malformed_chunks_are_refused() {
    for body in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "8000000000000000\r\nhello\r\n0\r\n\r\n",
        "\r\nhello",
        "5;\x01\r\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\n\rX",
    ] {
        assert_eq!(
            decode(body.as_bytes(), Framing::Chunked)
                .expect_err("bad")
                .status,
            400,
            "{body:?}"
        );
    }
}

#[test]
fn a_line_of_the_trailer_that_never_ends_is_refused_while_it_fits_a_read_buffer() {
    let body = ["0\r\nX: ", &"a".repeat(crate::buffer::SMALL - 3)].concat();
    let error = decode(&body.as_bytes()[..crate::buffer::SMALL], Framing::Chunked);
    assert_eq!(error.expect_err("too long").status, 400);
}

#[test]
fn an_empty_line_before_a_response_is_refused() {
    let bytes = b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let error = ResponseHead::default().parse(bytes, false);
    assert_eq!(error.expect_err("stray").status, 502);
}

#[test]
fn a_response_with_two_framings_is_refused() {
    let mut head = ResponseHead::default();
    let legal = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nWWW-Authenticate: NTLM\r\n\r\n";
    assert!(head.parse(legal, false).expect("legal"));
    assert_eq!(
        (head.status, head.framing, head.windows_auth),
        (200, Framing::Length(3), true)
    );
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
        "Transfer-Encoding: gzip",
        "X: y\r\n folded",
    ] {
        let message = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let error = head.parse(message.as_bytes(), false).expect_err("bad");
        assert_eq!(error.status, 502, "{fields:?}");
    }
}
