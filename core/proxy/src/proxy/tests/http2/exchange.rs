//! Requests and responses over HTTP/2.

use super::*;

fn ask(peer: &mut Peer, stream: u32, fields: &[(&str, &str)]) {
    let block = headers(fields);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
}

#[test]
fn a_request_reaches_the_server_in_the_words_of_http11() {
    let (proxy, _mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    let more = [
        ("cookie", "a=1"),
        ("accept", "*/*"),
        ("cookie", "b=2"),
        ("x-ssl-cipher", "none"),
    ];
    ask(&mut peer, 1, &request("GET", "/a?b=c", &more));
    let answer = peer.answer(1);
    assert_eq!(answer.status(), "200");
    assert_eq!(answer.field(0, "x-own"), Some("Mirror"));
    assert_eq!(answer.field(0, "connection"), None);
    let text = answer.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[..4],
        [
            "GET /a?b=c HTTP/1.1",
            "Host: shop.test",
            "accept: */*",
            "Cookie: a=1; b=2"
        ]
    );
    assert!(text.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{text}");
    assert!(
        text.ends_with("\r\n\r\n") && !text.contains("x-ssl-cipher"),
        "{text}"
    );
}

#[test]
fn bodies_go_both_ways_in_pieces_with_and_without_a_length() {
    let (proxy, _mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    let block = headers(&request("POST", "/", &[]));
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
    peer.send(&frame(DATA, PADDED, 1, b"\x02hello\0\0"));
    peer.send(&frame(DATA, 0, 1, b" world"));
    let trailer = headers(&[("checksum", "5"), ("content-length", "1")]);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailer));
    let text = peer.answer(1).text();
    assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let data: String = body.split("\r\n").filter(|line| line.len() > 3).collect();
    assert!(
        data.starts_with("hello world") && data.contains("checksum: 5"),
        "{text}"
    );
    assert!(!body.contains("content-length"), "{text}");

    let long = "x".repeat(100_000);
    let length = long.len().to_string();
    let block = headers(&request("PUT", "/", &[("content-length", &length)]));
    peer.send(&frame(HEADERS, END_HEADERS, 3, &block));
    let pieces: Vec<&[u8]> = long.as_bytes().chunks(16384).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() {
            END_STREAM
        } else {
            0
        };
        peer.send(&frame(DATA, last, 3, piece));
    }
    // The answer is larger than its windows: it goes on when they grow.
    peer.until("the windows are full", |peer| {
        peer.streams
            .get(&3)
            .is_some_and(|answer| answer.body.len() >= 60_000)
    });
    let more = 1_000_000_u32.to_be_bytes();
    peer.send(&frame(WINDOW_UPDATE, 0, 3, &more));
    peer.send(&frame(WINDOW_UPDATE, 0, 0, &more));
    assert!(peer.answer(3).text().ends_with(&long));
    assert_eq!(peer.goaway, None);
}

#[test]
fn responses_keep_their_hints_and_trailers() {
    let (proxy, _mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    ask(&mut peer, 1, &request("GET", "/early", &[]));
    let answer = peer.answer(1);
    let statuses: Vec<_> = (0..2)
        .map(|at| answer.field(at, ":status").unwrap())
        .collect();
    assert_eq!(statuses, ["103", "200"]);
    assert_eq!(answer.field(0, "link"), Some("</a.css>"));
    ask(&mut peer, 3, &request("GET", "/trailers", &[]));
    let answer = peer.answer(3);
    assert_eq!((answer.text().as_str(), answer.heads.len()), ("hello", 2));
    assert_eq!(answer.field(1, "checksum"), Some("7"));
    assert_eq!(answer.field(1, "content-length"), None);
    ask(&mut peer, 5, &request("HEAD", "/", &[]));
    let answer = peer.answer(5);
    assert_eq!(
        (answer.status(), answer.body.len(), answer.reset),
        ("200", 0, None)
    );
}

#[test]
fn many_requests_share_a_connection_and_none_waits_for_another() {
    let site = Site::new("a");
    let proxy = start(&shop(&[("a", site.address)]));
    let mut peer = Peer::connect(proxy.address("shop"));
    for stream in 0..50 {
        ask(&mut peer, 1 + 4 * stream, &request("GET", "/hold", &[]));
    }
    eventually("all are held", || site.held() == 50);
    ask(&mut peer, 401, &request("GET", "/", &[]));
    assert_eq!(peer.answer(401).text(), "a");
    site.release();
    for stream in 0..50 {
        assert_eq!(peer.answer(1 + 4 * stream).text(), "a");
    }
    assert_eq!(proxy.service("shop").connections, 1);
}

#[test]
fn a_stalled_window_stops_its_stream_alone() {
    let (proxy, _mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    // Streams begin with windows of 10 bytes; one that shrinks below nothing is not used either.
    peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]));
    ask(&mut peer, 1, &request("GET", "/", &[]));
    peer.until("ten bytes", |peer| {
        peer.streams
            .get(&1)
            .is_some_and(|answer| answer.body.len() == 10)
    });
    peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5]));
    peer.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 6]));
    peer.until("one more", |peer| peer.streams[&1].body.len() == 11);
    peer.ping(*b"anymore?");
    assert_eq!(peer.streams[&1].body.len(), 11);
    peer.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]));
    assert!(peer.answer(1).text().starts_with("GET / HTTP/1.1"));
}

#[test]
fn what_a_client_sends_is_given_back_as_credit_when_it_has_been_passed_on() {
    let (proxy, mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    let block = headers(&request("POST", "/", &[]));
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
    let piece = [b'x'; 16384];
    let mut sent = 0_u64;
    // More than all windows together, and never more than there is credit for.
    while sent < 3_000_000 {
        let for_all = 65_535 + peer.credit;
        let own = 256 * 1024 + peer.streams.get(&1).map_or(0, |answer| answer.credit);
        if sent + 16384 <= for_all.min(own) {
            peer.send(&frame(DATA, 0, 1, &piece));
            sent += 16384;
        } else {
            assert!(
                matches!(peer.next(), Saw::Frame(..)),
                "{sent} {for_all} {own}"
            );
        }
    }
    assert_eq!(peer.goaway, None);
    eventually("it arrives", || {
        mirror.received.lock().unwrap().len() >= 3_000_000
    });
}

#[test]
fn a_server_that_fails_is_told_of_and_a_broken_response_is_not_completed() {
    let gone = free_address();
    let proxy = start(&shop(&[("a", gone)]));
    let mut peer = Peer::connect(proxy.address("shop"));
    ask(&mut peer, 1, &request("GET", "/", &[]));
    assert_eq!(peer.answer(1).status(), "502");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = start(&shop(&[("a", listener.local_addr().unwrap())]));
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = listener.accept().unwrap().0;
        let _request = stream.read(&mut [0; 1000]).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            .unwrap();
    });
    let mut peer = Peer::connect(proxy.address("shop"));
    ask(&mut peer, 1, &request("GET", "/", &[]));
    let answer = peer.answer(1);
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.ended),
        ("200", "half", false)
    );
    assert_eq!(answer.reset, Some(2), "INTERNAL_ERROR");
}

#[test]
fn answers_of_our_own_are_whole_and_a_refused_body_is_not_waited_for() {
    let (proxy, mirror) = mirrored(
        "rules = [{ name = \"no\", match = { path = { prefix = \"/no\" } }, \
         action = { respond = { status = 403, body = \"no\" } } }]\n",
    );
    let mut peer = Peer::connect(proxy.address("shop"));
    let block = headers(&request("POST", "/no", &[("content-length", "100000")]));
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
    let answer = peer.answer(1);
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.ended),
        ("403", "no", true)
    );
    peer.until("the rest is not wanted", |peer| {
        peer.streams[&1].reset == Some(NO_ERROR)
    });
    // What is on its way all the same is dropped.
    peer.send(&frame(DATA, 0, 1, &[0; 1000]));
    let long = "x".repeat(200);
    let many: Vec<(&str, &str)> = (0..400).map(|_| ("x", long.as_str())).collect();
    let block = headers(&request("GET", "/", &many));
    let (first, rest) = block.split_at(16000);
    peer.send(&frame(HEADERS, END_STREAM, 3, first));
    let pieces: Vec<&[u8]> = rest.chunks(16000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        peer.send(&frame(CONTINUATION, last, 3, piece));
    }
    assert!(matches!(peer.answer(3).status(), "431"));
    assert_eq!((mirror.seen(), peer.goaway), (0, None));
}

#[test]
fn a_websocket_is_a_stream_of_its_own() {
    let (proxy, _mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "shop.test"),
        (":path", "/socket"),
        ("sec-websocket-version", "13"),
    ];
    peer.send(&frame(HEADERS, END_HEADERS, 1, &headers(&fields)));
    peer.until("it is accepted", |peer| peer.streams.contains_key(&1));
    assert_eq!(peer.streams[&1].status(), "200");
    assert_eq!(peer.streams[&1].field(0, "sec-websocket-accept"), None);
    for word in ["one", "two"] {
        peer.send(&frame(DATA, 0, 1, word.as_bytes()));
        peer.until("an echo", |peer| peer.streams[&1].text().ends_with(word));
    }
    ask(&mut peer, 3, &request("GET", "/", &[]));
    assert_eq!(peer.answer(3).status(), "200");
    peer.send(&frame(DATA, END_STREAM, 1, b""));
    assert!(peer.answer(1).ended);
}

#[test]
fn windows_authentication_is_sent_back_to_http11() {
    let (proxy, mirror) = mirrored("");
    let mut peer = Peer::connect(proxy.address("shop"));
    ask(
        &mut peer,
        1,
        &request("GET", "/", &[("authorization", "NTLM TlRMTVNTUAAB")]),
    );
    assert_eq!(peer.answer(1).reset, Some(HTTP_1_1_REQUIRED));
    assert_eq!(mirror.seen(), 0);
    ask(&mut peer, 3, &request("GET", "/challenge", &[]));
    let answer = peer.answer(3);
    assert_eq!(
        (answer.reset, answer.heads.len()),
        (Some(HTTP_1_1_REQUIRED), 0)
    );
    ask(
        &mut peer,
        5,
        &request("GET", "/", &[("authorization", "Bearer x")]),
    );
    assert_eq!(peer.answer(5).status(), "200");
}

#[test]
fn who_asks_for_http11_gets_it_and_nobody_gets_http2_where_it_is_off() {
    let (visitor, proxy, _mirror) = secure();
    let address = proxy.address("shop");
    let old = visitor.offering(&[b"http/1.1"]).visit(address, "shop.test");
    assert!(old.answer.starts_with("HTTP/1.1 200"), "{}", old.answer);
    let (proxy, _mirror) = mirrored("http2 = false\n");
    let mut peer = Peer::connect(proxy.address("shop"));
    assert_eq!((peer.next(), peer.frames), (Saw::Closed, 0));
    let mut client = Client::connect(proxy.address("shop"));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_client_that_is_told_to_leave_loses_nothing() {
    let site = Site::new("a");
    let text = shop(&[("a", site.address)]);
    let proxy = start(&text);
    let mut peer = Peer::connect(proxy.address("shop"));
    ask(&mut peer, 1, &request("GET", "/hold", &[]));
    eventually("it is held", || site.held() == 1);
    proxy.change(&text.replace("shop]", "other]"));
    peer.until("it is told", |peer| peer.goaway.is_some());
    assert_eq!(peer.goaway, Some((0x7fff_ffff, NO_ERROR)));
    // It was under way when the client was told.
    ask(&mut peer, 3, &request("GET", "/", &[]));
    let answer = peer.answer(3);
    assert!(
        matches!(answer.status(), "200" | "404" | "503"),
        "{answer:?}"
    );
    peer.send(&frame(PING, ACK, 0, b"leaving?"));
    peer.until("it is told again", |peer| {
        peer.goaway == Some((3, NO_ERROR))
    });
    ask(&mut peer, 5, &request("GET", "/", &[]));
    assert_eq!(peer.answer(5).reset, Some(REFUSED_STREAM));
    site.release();
    assert_eq!(peer.answer(1).text(), "a");
    assert_eq!(peer.end(), Some(NO_ERROR));
}
