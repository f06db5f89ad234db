//! HTTP/2 with servers: by our own listeners, and by one that does what a test wants.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::*;

const PREFACE_LENGTH: usize = 24;

/// A proxy whose servers of the pool `web` are spoken with in HTTP/2.
fn to(servers: &[(&str, SocketAddr)], more: &str) -> Proxy {
    let always = format!("[pools.web]\nhttp2 = \"always\"\n{more}");
    alone(&shop(servers).replace("[pools.web]\n", &always))
}

/// A proxy with one worker: connections to servers are shared within each.
fn alone(text: &str) -> Proxy {
    let options = Options {
        workers: NonZeroUsize::MIN,
        connections_max: 10_000,
        access_log: None,
        sockets: Arc::new(OwnSockets::default()),
        memory: Memory::default(),
        material: Material::default(),
    };
    Proxy::start(&config(text), options).unwrap()
}

/// A proxy that speaks HTTP/2 with one that speaks HTTP/1.1 with a mirror.
fn chained() -> (Proxy, Proxy, Mirror) {
    let (behind, mirror) = mirrored("");
    let front = to(&[("a", behind.address("shop"))], "");
    (front, behind, mirror)
}

/// A connection over HTTP/1.1.
struct Plain(BufReader<TcpStream>);

impl Plain {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The head of a response, and what comes behind it as its length or chunks say.
    fn answer(&mut self) -> (String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let lower = head.to_ascii_lowercase();
        let mut body = Vec::new();
        if let Some((_, length)) = lower.split_once("content-length: ") {
            let digits: String = length.chars().take_while(char::is_ascii_digit).collect();
            body.resize(digits.parse().unwrap(), 0);
            self.0.read_exact(&mut body).unwrap();
        } else if lower.contains("transfer-encoding: chunked") {
            while !body.ends_with(b"0\r\n\r\n") && !body.ends_with(b"checksum: 7\r\n\r\n") {
                self.0.read_until(b'\n', &mut body).unwrap();
            }
        }
        (head, body)
    }
}

#[test]
fn what_comes_over_http11_reaches_a_server_over_http2_and_comes_back() {
    let (front, behind, mirror) = chained();
    let mut client = Plain::connect(front.address("shop"));
    client.send(
        "GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nCookie: a=1\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n",
    );
    let (head, body) = client.answer();
    let text = String::from_utf8(body).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("x-own: Mirror\r\n"), "{head}");
    assert!(
        text.starts_with("GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Cookie: a=1\r\n") && !text.contains("hop: 1"),
        "{text}"
    );
    // The same connection once more, with a body of each kind.
    client.send("POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello");
    let text = String::from_utf8(client.answer().1).unwrap();
    assert!(
        text.contains("content-length: 5\r\n") && text.ends_with("\r\n\r\nhello"),
        "{text}"
    );
    client.send(
        "POST /p HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n\
         5\r\nhello\r\n0\r\nChecksum: 5\r\n\r\n",
    );
    let text = String::from_utf8(client.answer().1).unwrap();
    assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
    assert!(text.contains("te: trailers\r\n"), "{text}");
    assert!(text.contains("\r\nhello\r\n0\r\nchecksum: 5\r\n"), "{text}");
    client.send("GET /trailers HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\n\r\n");
    let (head, body) = client.answer();
    assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "5\r\nhello\r\n0\r\nchecksum: 7\r\n\r\n"
    );
    assert_eq!(mirror.seen(), 4);
    drop(client);
    assert_eq!(behind.service("shop").connections, 1);
}

#[test]
fn a_response_without_a_body_has_none() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut client = Plain::connect(front.address("shop"));
    for (request, fields, expected) in [
        (
            "HEAD",
            vec![(":status", "200"), ("content-length", "7")],
            "content-length: 7",
        ),
        (
            "GET",
            vec![(":status", "304"), ("content-length", "7")],
            "content-length: 7",
        ),
        ("GET", vec![(":status", "204")], "204"),
        ("HEAD", vec![(":status", "200")], "200"),
    ] {
        client.send(&format!("{request} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.answer_next(&fields, END_STREAM);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(client.0.read_line(&mut head).unwrap() > 0);
        }
        assert!(head.contains(expected), "{request} {head}");
        assert!(!head.contains("chunked"), "{request} {head}");
    }
}

/// A server whose connections a test serves by hand.
struct Scripted {
    address: SocketAddr,
    connections: Mutex<mpsc::Receiver<TcpStream>>,
    present: Mutex<Option<Peer>>,
    next: AtomicU32,
}

impl Scripted {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, connections) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if told.send(stream).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            connections: connections.into(),
            present: None.into(),
            next: 1.into(),
        }
    }

    /// The next connection, after its preface; `settings` is what the server says first.
    fn accept(&self, settings: &[u8]) -> Peer {
        let connections = self.connections.lock().unwrap();
        let mut stream = connections.recv_timeout(Duration::from_secs(10)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut preface = [0; PREFACE_LENGTH];
        stream.read_exact(&mut preface).unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut peer = Peer::over(Box::new(stream));
        peer.send(&frame(SETTINGS, 0, 0, settings));
        peer
    }

    /// Whether nobody else has connected.
    fn has_no_other(&self) -> bool {
        self.connections.lock().unwrap().try_recv().is_err()
    }

    /// Answers the next request on the only connection.
    fn answer_next(&self, fields: &[(&str, &str)], flags: u8) {
        let mut present = self.present.lock().unwrap();
        let peer = present.get_or_insert_with(|| self.accept(&[]));
        let stream = self.next.fetch_add(2, Ordering::SeqCst);
        asked(peer, stream);
        peer.send(&frame(
            HEADERS,
            END_HEADERS | flags,
            stream,
            &headers(fields),
        ));
    }
}

/// Waits for the whole request of a stream.
fn asked(peer: &mut Peer, stream: u32) {
    peer.until("a request", |peer| {
        peer.streams.get(&stream).is_some_and(|s| s.ended)
    });
}

fn ok(peer: &mut Peer, stream: u32, body: &[u8]) {
    let block = headers(&[(":status", "200"), ("x-from", "script")]);
    peer.send(&frame(HEADERS, END_HEADERS, stream, &block));
    peer.send(&frame(DATA, END_STREAM, stream, body));
}

#[test]
fn many_requests_share_one_connection_and_are_answered_in_any_order() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut clients: Vec<Plain> = (0..20)
        .map(|_| Plain::connect(front.address("shop")))
        .collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let mut first = server.accept(&[]);
    first.until("all requests", |peer| peer.streams.len() == 20);
    let paths: HashMap<u32, String> = first
        .streams
        .iter()
        .map(|(stream, asked)| (*stream, asked.field(0, ":path").unwrap().to_owned()))
        .collect();
    for stream in (1..40).step_by(2).rev() {
        ok(&mut first, stream, paths[&stream].as_bytes());
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let (head, body) = client.answer();
        assert!(head.contains("x-from: script\r\n"), "{head}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(&format!("/{index}\r\n")), "{index}: {body}");
    }
    assert!(server.has_no_other());
}

#[test]
fn no_more_streams_begin_than_the_server_takes() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut one = Plain::connect(front.address("shop"));
    one.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = server.accept(&[0, 3, 0, 0, 0, 1]);
    asked(&mut first, 1);
    first.ping(*b"settings");
    let mut two = Plain::connect(front.address("shop"));
    two.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut second = server.accept(&[]);
    asked(&mut second, 1);
    ok(&mut second, 1, b"two");
    ok(&mut first, 1, b"one");
    assert!(two.answer().1.starts_with(b"3\r\ntwo"));
    assert!(one.answer().1.starts_with(b"3\r\none"));
    // The first has room again.
    one.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    asked(&mut first, 3);
    ok(&mut first, 3, b"more");
    assert!(one.answer().1.starts_with(b"4\r\nmore"));
}

#[test]
fn what_the_server_has_not_done_is_asked_again_whatever_the_method() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut client = Plain::connect(front.address("shop"));
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let mut first = server.accept(&[]);
    asked(&mut first, 1);
    first.send(&frame(RST_STREAM, 0, 1, &REFUSED_STREAM.to_be_bytes()));
    // Whoever refuses may be busy with leaving: the second attempt has a connection of its own.
    let mut second = server.accept(&[]);
    asked(&mut second, 1);
    // This one leaves before it looks at the request.
    second.send(&frame(GOAWAY, 0, 0, &[0; 8]));
    let (head, _) = client.answer();
    assert!(
        head.starts_with("HTTP/1.1 502 "),
        "a second refusal is final: {head}"
    );
    assert_eq!(second.end(), Some(NO_ERROR));
}

#[test]
fn a_server_that_leaves_finishes_what_it_has_begun_and_gets_nothing_new() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut one = Plain::connect(front.address("shop"));
    one.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = server.accept(&[]);
    asked(&mut first, 1);
    let goaway = [0, 0, 0, 1, 0, 0, 0, 0];
    first.send(&frame(GOAWAY, 0, 0, &goaway));
    first.ping(*b"leaving!");
    let mut two = Plain::connect(front.address("shop"));
    two.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut second = server.accept(&[]);
    asked(&mut second, 1);
    ok(&mut second, 1, b"two");
    assert!(two.answer().1.starts_with(b"3\r\ntwo"));
    ok(&mut first, 1, b"one");
    assert!(one.answer().1.starts_with(b"3\r\none"));
    // Nothing is left to be done on it.
    assert_eq!(first.end(), Some(NO_ERROR));
}

#[test]
fn a_server_that_wants_http11_gets_it() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut client = Plain::connect(front.address("shop"));
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = server.accept(&[]);
    asked(&mut first, 1);
    first.send(&frame(RST_STREAM, 0, 1, &HTTP_1_1_REQUIRED.to_be_bytes()));
    let stream = server
        .connections
        .lock()
        .unwrap()
        .recv_timeout(Duration::from_secs(10))
        .unwrap();
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    assert_eq!(line, "GET /1 HTTP/1.1\r\n");
    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    input.get_mut().write_all(answer.as_bytes()).unwrap();
    assert!(client.answer().0.starts_with("HTTP/1.1 401 "));
}

#[test]
fn a_request_with_windows_authentication_and_an_upgrade_have_connections_of_their_own() {
    for fields in [
        "Authorization: Negotiate YII=\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
    ] {
        let server = Scripted::new();
        let front = to(&[("a", server.address)], "");
        let mut client = Plain::connect(front.address("shop"));
        client.send(&format!("GET /1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let connections = server.connections.lock().unwrap();
        let stream = connections.recv_timeout(Duration::from_secs(10)).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line, "GET /1 HTTP/1.1\r\n", "{fields}");
    }
}

/// Sends DATA for as long as there is room in the window of the stream.
fn fill(peer: &mut Peer, stream: u32) {
    const PIECE: usize = 16 * 1024;
    let (mut room, mut waited) = (128 * 1024, 0);
    while waited < 5 {
        let more = std::mem::take(&mut peer.streams.get_mut(&stream).unwrap().credit);
        room += usize::try_from(more).unwrap();
        if room >= PIECE {
            peer.send(&frame(DATA, 0, stream, &[b'x'; PIECE]));
            (room, waited) = (room - PIECE, 0);
        } else {
            waited += 1;
            // More would use up what a server may cost.
            std::thread::sleep(Duration::from_millis(5));
            peer.pongs.clear();
            peer.ping(*b"any room");
        }
    }
}

#[test]
fn a_client_that_does_not_take_its_response_holds_up_nobody_else() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut slow: Vec<Plain> = (0..12)
        .map(|_| Plain::connect(front.address("shop")))
        .collect();
    for client in &mut slow {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut peer = server.accept(&[]);
    peer.until("all requests", |peer| peer.streams.len() == 12);
    let block = headers(&[(":status", "200"), ("content-length", "1000000000")]);
    for stream in (1..24).step_by(2) {
        peer.send(&frame(HEADERS, END_HEADERS, stream, &block));
        fill(&mut peer, stream);
    }
    let mut fast = Plain::connect(front.address("shop"));
    fast.send("GET /fast HTTP/1.1\r\nHost: a\r\n\r\n");
    asked(&mut peer, 25);
    ok(&mut peer, 25, b"fast");
    assert!(fast.answer().1.starts_with(b"4\r\nfast"));
    assert!(peer.goaway.is_none());
    drop(slow);
    // What nobody waits for any longer is broken off.
    peer.until("resets", |peer| {
        let reset = |stream: u32| peer.streams[&stream].reset == Some(CANCEL);
        (1..24).step_by(2).all(reset)
    });
}

#[test]
fn a_response_that_is_none_ends_its_stream() {
    let of_stream: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("no status", vec![("x", "y")]),
        ("two of them", vec![(":status", "200"), (":status", "200")]),
        (
            "a status behind a field",
            vec![("x", "y"), (":status", "200")],
        ),
        ("no number", vec![(":status", "2x0")]),
        ("switching protocols", vec![(":status", "101")]),
        ("a path", vec![(":status", "200"), (":path", "/")]),
        (
            "a field of a connection",
            vec![(":status", "200"), ("connection", "close")],
        ),
        (
            "a framing field",
            vec![(":status", "200"), ("transfer-encoding", "chunked")],
        ),
        ("a capital letter", vec![(":status", "200"), ("X-A", "y")]),
        ("a line end", vec![(":status", "200"), ("x", "a\r\nb: c")]),
        (
            "two lengths",
            vec![
                (":status", "200"),
                ("content-length", "1"),
                ("content-length", "1"),
            ],
        ),
        (
            "no length",
            vec![(":status", "200"), ("content-length", "+1")],
        ),
    ];
    for (what, fields) in of_stream {
        let server = Scripted::new();
        let front = to(&[("a", server.address)], "retries = 0\n");
        let mut client = Plain::connect(front.address("shop"));
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut peer = server.accept(&[]);
        asked(&mut peer, 1);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &headers(&fields)));
        assert!(client.answer().0.starts_with("HTTP/1.1 502 "), "{what}");
        peer.until(what, |peer| peer.streams[&1].reset.is_some());
        assert_eq!(peer.streams[&1].reset, Some(PROTOCOL_ERROR), "{what}");
        client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
        asked(&mut peer, 3);
        ok(&mut peer, 3, b"good");
        assert!(client.answer().1.starts_with(b"4\r\ngood"), "{what}");
    }
}

#[test]
fn what_is_no_http2_ends_the_connection() {
    let push = [&[0, 0, 0, 2][..], &headers(&request("GET", "/", &[]))].concat();
    let of_connection: Vec<(&str, Vec<u8>, u32)> = vec![
        (
            "a push",
            frame(PUSH_PROMISE, END_HEADERS, 1, &push),
            PROTOCOL_ERROR,
        ),
        (
            "a stream of its own",
            frame(HEADERS, END_HEADERS, 2, &[0x88]),
            PROTOCOL_ERROR,
        ),
        (
            "a stream nobody began",
            frame(HEADERS, END_HEADERS, 9, &[0x88]),
            PROTOCOL_ERROR,
        ),
        ("data for nobody", frame(DATA, 0, 9, b"x"), PROTOCOL_ERROR),
        (
            "a broken block",
            frame(HEADERS, END_HEADERS, 1, &[0xff]),
            COMPRESSION_ERROR,
        ),
        (
            "a long frame",
            frame(DATA, 0, 1, &[0; 16 * 1024 + 1]),
            FRAME_SIZE_ERROR,
        ),
        ("a short ping", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
    ];
    for (what, bytes, code) in of_connection {
        let server = Scripted::new();
        let front = to(&[("a", server.address)], "retries = 0\n");
        let mut client = Plain::connect(front.address("shop"));
        client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let mut peer = server.accept(&[]);
        asked(&mut peer, 1);
        peer.send(&bytes);
        assert!(client.answer().0.starts_with("HTTP/1.1 502 "), "{what}");
        assert_eq!(peer.end(), Some(code), "{what}");
    }
}

#[test]
fn a_body_that_differs_from_its_length_never_looks_whole() {
    for (sent, flags) in [(&b"1234"[..], END_STREAM), (b"123456", 0)] {
        let server = Scripted::new();
        let front = to(&[("a", server.address)], "retries = 0\n");
        let mut client = Plain::connect(front.address("shop"));
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut peer = server.accept(&[]);
        asked(&mut peer, 1);
        let block = headers(&[(":status", "200"), ("content-length", "5")]);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
        peer.send(&frame(DATA, flags, 1, sent));
        peer.until("a reset", |peer| peer.streams[&1].reset.is_some());
        let mut all = Vec::new();
        // A reset of the connection is as clear as an end.
        drop(client.0.read_to_end(&mut all));
        let body = all
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map(|at| &all[at + 4..]);
        assert!(
            all.starts_with(b"HTTP/1.1 502 ") || body.is_none_or(|body| body.len() < 5),
            "{}",
            String::from_utf8_lossy(&all)
        );
    }
}

#[test]
fn a_response_that_is_whole_counts_when_the_rest_of_its_request_is_not_wanted() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut client = Plain::connect(front.address("shop"));
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nbegin");
    let mut peer = server.accept(&[]);
    peer.until("a request", |peer| {
        peer.streams.get(&1).is_some_and(|s| s.body == b"begin")
    });
    ok(&mut peer, 1, b"enough");
    peer.send(&frame(RST_STREAM, 0, 1, &NO_ERROR.to_be_bytes()));
    assert!(client.answer().1.starts_with(b"6\r\nenough"));
    assert!(server.has_no_other());
}

#[test]
fn the_window_of_the_server_is_kept() {
    let server = Scripted::new();
    let front = to(&[("a", server.address)], "");
    let mut client = Plain::connect(front.address("shop"));
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n");
    let mut peer = server.accept(&[0, 4, 0, 0, 0, 10]);
    peer.until("a request", |peer| peer.streams.contains_key(&1));
    peer.ping(*b"settings");
    client.send("012345678901234567890123456789");
    peer.until("what the window allows", |peer| {
        peer.streams[&1].body.len() == 10
    });
    peer.ping(*b"and more");
    assert_eq!(peer.streams[&1].body.len(), 10);
    peer.send(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 20]));
    asked(&mut peer, 1);
    assert_eq!(peer.streams[&1].body, b"012345678901234567890123456789");
    ok(&mut peer, 1, b"ok");
    assert!(client.answer().1.starts_with(b"2\r\nok"));
}

#[test]
fn a_change_that_ends_http2_leaves_what_is_under_way_alone() {
    let server = Scripted::new();
    let text = shop(&[("a", server.address)]);
    let front = alone(&text.replace("[pools.web]\n", "[pools.web]\nhttp2 = \"always\"\n"));
    let mut client = Plain::connect(front.address("shop"));
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = server.accept(&[]);
    asked(&mut peer, 1);
    front.change(&text);
    let mut other = Plain::connect(front.address("shop"));
    other.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let stream = server
        .connections
        .lock()
        .unwrap()
        .recv_timeout(Duration::from_secs(10))
        .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "GET /2 HTTP/1.1\r\n");
    ok(&mut peer, 1, b"one");
    assert!(client.answer().1.starts_with(b"3\r\none"));
    assert_eq!(peer.end(), Some(NO_ERROR));
}
