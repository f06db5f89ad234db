//! Every rule of RFC 9113 whose breach names an error: what is answered, and that nothing of it reaches
//! a server.

use super::*;

/// What a breach leads to.
#[derive(Clone, Copy, Debug)]
enum Leads {
    /// The end of the connection, with this code.
    Goaway(u32),
    /// The end of a stream, with this code; the connection goes on.
    Reset(u32, u32),
    /// Nothing at all; the connection goes on.
    Nothing,
    /// An answer with this status; the connection goes on.
    Status(u32, &'static str),
}

use Leads::{Goaway, Nothing, Reset, Status};

struct Case {
    section: &'static str,
    what: &'static str,
    sent: Vec<u8>,
    leads: Leads,
}

fn case(section: &'static str, what: &'static str, sent: &[Vec<u8>], leads: Leads) -> Case {
    Case {
        section,
        what,
        sent: sent.concat(),
        leads,
    }
}

fn get(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let block = headers(&request("GET", "/", more));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// A request whose body is still to come, on a path that is answered when it has.
fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let block = headers(&request("POST", "/", more));
    frame(HEADERS, END_HEADERS, stream, &block)
}

fn fields(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers(fields))
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn grow(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

#[rustfmt::skip]
fn framing() -> Vec<Case> {
    let block = headers(&request("GET", "/", &[]));
    let (first, rest) = block.split_at(10);
    let open = frame(HEADERS, END_STREAM, 1, first);
    vec![
        case("4.1", "a frame of an unknown kind", &[frame(0x16, 0xff, 0, b"what")], Nothing),
        case("4.1", "flags that mean nothing", &[frame(PING, 0x16, 0, &[0; 8])], Nothing),
        case("4.1", "a reserved bit", &[frame(PING, 0, 0x8000_0000, &[0; 8])], Nothing),
        case("4.2", "DATA that is too large", &[post(1, &[]), frame(DATA, 0, 1, &[0; 16385])], Goaway(FRAME_SIZE_ERROR)),
        case("4.2", "HEADERS that are too large", &[frame(HEADERS, END_HEADERS, 1, &[0; 16385])], Goaway(FRAME_SIZE_ERROR)),
        case("4.3", "a block that is no HPACK", &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x40])], Goaway(COMPRESSION_ERROR)),
        case("4.3", "an index that is nowhere", &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0x70])], Goaway(COMPRESSION_ERROR)),
        case("4.3", "another stream within a block", &[open.clone(), frame(CONTINUATION, END_HEADERS, 3, rest)], Goaway(PROTOCOL_ERROR)),
        case("4.3", "another frame within a block", &[open.clone(), frame(PING, 0, 0, &[0; 8])], Goaway(PROTOCOL_ERROR)),
        case("4.3", "an unknown frame within a block", &[open.clone(), frame(0x16, 0, 1, &[0; 8])], Goaway(PROTOCOL_ERROR)),
        case("6.10", "a block in two frames", &[open, frame(CONTINUATION, END_HEADERS, 1, rest)], Status(1, "200")),
        case("6.10", "CONTINUATION of nothing", &[frame(CONTINUATION, END_HEADERS, 1, &block)], Goaway(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION behind the end of a block", &[get(1, &[]), frame(CONTINUATION, END_HEADERS, 1, &block)], Goaway(PROTOCOL_ERROR)),
        case("6.10", "CONTINUATION behind DATA", &[post(1, &[]), frame(DATA, 0, 1, b"a"), frame(CONTINUATION, END_HEADERS, 1, rest)], Goaway(PROTOCOL_ERROR)),
    ]
}

#[rustfmt::skip]
fn streams() -> Vec<Case> {
    let ended = |then: Vec<u8>| [get(1, &[]), then];
    vec![
        case("5.1", "DATA on an idle stream", &[frame(DATA, 0, 1, b"x")], Goaway(PROTOCOL_ERROR)),
        case("5.1", "RST_STREAM on an idle stream", &[frame(RST_STREAM, 0, 1, &[0; 4])], Goaway(PROTOCOL_ERROR)),
        case("5.1", "WINDOW_UPDATE on an idle stream", &[grow(1, 10)], Goaway(PROTOCOL_ERROR)),
        case("5.1", "DATA behind the end", &ended(frame(DATA, 0, 1, b"x")), Goaway(STREAM_CLOSED)),
        case("5.1", "HEADERS behind the end", &ended(get(1, &[])), Goaway(STREAM_CLOSED)),
        case("5.1", "WINDOW_UPDATE behind the end", &ended(grow(1, 10)), Status(1, "200")),
        case("5.1", "PRIORITY on an idle stream", &[frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 1])], Nothing),
        case("5.1", "HEADERS behind RST_STREAM", &[post(1, &[]), frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()), post(1, &[])], Nothing),
        case("5.1", "DATA behind RST_STREAM", &[post(1, &[]), frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()), frame(DATA, 0, 1, b"x")], Nothing),
        case("5.1.1", "a stream of the server", &[get(2, &[])], Goaway(PROTOCOL_ERROR)),
        case("5.1.1", "a stream before others", &[get(5, &[]), get(3, &[])], Goaway(PROTOCOL_ERROR)),
        case("5.1.1", "streams that are left out", &[get(7, &[])], Status(7, "200")),
        case("6.1", "DATA on the connection", &[frame(DATA, 0, 0, b"x")], Goaway(PROTOCOL_ERROR)),
        case("6.1", "more padding than payload", &[post(1, &[]), frame(DATA, PADDED, 1, &[6, 1, 2, 3, 4, 5])], Goaway(PROTOCOL_ERROR)),
        case("6.1", "padding without a length", &[post(1, &[]), frame(DATA, PADDED, 1, &[])], Goaway(FRAME_SIZE_ERROR)),
        case("6.2", "HEADERS on the connection", &[get(0, &[])], Goaway(PROTOCOL_ERROR)),
        case("6.2", "more padding than a block", &[frame(HEADERS, PADDED | END_HEADERS, 1, &[9, 0x82])], Goaway(PROTOCOL_ERROR)),
        case("6.2", "no room for a priority", &[frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, &[0, 0])], Goaway(FRAME_SIZE_ERROR)),
        case("6.3", "PRIORITY on the connection", &[frame(PRIORITY, 0, 0, &[0; 5])], Goaway(PROTOCOL_ERROR)),
        case("6.3", "PRIORITY of another length", &[post(1, &[]), frame(PRIORITY, 0, 1, &[0; 4])], Reset(1, FRAME_SIZE_ERROR)),
        case("6.4", "RST_STREAM on the connection", &[frame(RST_STREAM, 0, 0, &[0; 4])], Goaway(PROTOCOL_ERROR)),
        case("6.4", "RST_STREAM of another length", &[post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])], Goaway(FRAME_SIZE_ERROR)),
        case("8.4", "PUSH_PROMISE of a client", &[post(1, &[]), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], Goaway(PROTOCOL_ERROR)),
    ]
}

#[rustfmt::skip]
fn connection() -> Vec<Case> {
    let full = [grow(0, 0x7fff_ffff)];
    vec![
        case("6.5", "SETTINGS on a stream", &[frame(SETTINGS, 0, 1, &[])], Goaway(PROTOCOL_ERROR)),
        case("6.5", "an ACK that says something", &[frame(SETTINGS, ACK, 0, &[0; 6])], Goaway(FRAME_SIZE_ERROR)),
        case("6.5", "half a setting", &[frame(SETTINGS, 0, 0, &[0; 5])], Goaway(FRAME_SIZE_ERROR)),
        case("6.5.2", "ENABLE_PUSH of 2", &[setting(2, 2)], Goaway(PROTOCOL_ERROR)),
        case("6.5.2", "a window that is too large", &[setting(4, 0x8000_0000)], Goaway(FLOW_CONTROL_ERROR)),
        case("6.5.2", "frames that are too small", &[setting(5, 16383)], Goaway(PROTOCOL_ERROR)),
        case("6.5.2", "frames that are too large", &[setting(5, 0x100_0000)], Goaway(PROTOCOL_ERROR)),
        case("6.5.2", "an unknown setting", &[setting(0xfa, 7)], Nothing),
        case("6.7", "PING on a stream", &[frame(PING, 0, 1, &[0; 8])], Goaway(PROTOCOL_ERROR)),
        case("6.7", "PING of another length", &[frame(PING, 0, 0, &[0; 7])], Goaway(FRAME_SIZE_ERROR)),
        case("6.7", "an answer to no PING", &[frame(PING, ACK, 0, &[0; 8])], Nothing),
        case("6.8", "GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &[0; 8])], Goaway(PROTOCOL_ERROR)),
        case("6.8", "GOAWAY of another length", &[frame(GOAWAY, 0, 0, &[0; 7])], Goaway(FRAME_SIZE_ERROR)),
        case("6.9", "no credit for the connection", &[grow(0, 0)], Goaway(PROTOCOL_ERROR)),
        case("6.9", "no credit for a stream", &[post(1, &[]), grow(1, 0)], Reset(1, PROTOCOL_ERROR)),
        case("6.9", "credit of another length", &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])], Goaway(FRAME_SIZE_ERROR)),
        case("6.9.1", "too much credit for the connection", &full, Goaway(FLOW_CONTROL_ERROR)),
        case("6.9.1", "too much credit for a stream", &[post(1, &[]), grow(1, 0x7fff_ffff)], Reset(1, FLOW_CONTROL_ERROR)),
        case("6.9.2", "too much credit by a setting", &[post(1, &[]), grow(1, 0x7fff_0000), setting(4, 0x7fff_ffff)], Goaway(FLOW_CONTROL_ERROR)),
    ]
}

#[rustfmt::skip]
fn messages() -> Vec<Case> {
    const BASE: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let without = |name: &str| {
        let left: Vec<_> = request("GET", "/", &[]).into_iter().filter(|(known, _)| *known != name).collect();
        fields(1, &left)
    };
    let with = |name: &str, value: &str| get(1, &[(name, value)]);
    let bad = |what, sent| case("8", what, &[sent], Reset(1, PROTOCOL_ERROR));
    let mut late = request("GET", "/", &[("a", "b")]);
    late.push((":path", "/b"));
    let mut twice = request("GET", "/", &[]);
    twice.push((":path", "/b"));
    let trailer = |flags, sent: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &headers(sent));
    vec![
        bad("a name with a capital", with("X-Name", "a")),
        bad("a name with a blank", with("x name", "a")),
        bad("an empty name", with("", "a")),
        bad("a line end in a value", with("x", "a\r\nb: c")),
        bad("a NUL in a value", with("x", "a\0b")),
        bad("a blank before a value", with("x", " a")),
        bad("a blank behind a value", with("x", "a\t")),
        bad("Connection", with("connection", "keep-alive")),
        bad("Keep-Alive", with("keep-alive", "1")),
        bad("Proxy-Connection", with("proxy-connection", "close")),
        bad("Transfer-Encoding", with("transfer-encoding", "chunked")),
        bad("Upgrade", with("upgrade", "h2c")),
        bad("TE of more than trailers", with("te", "trailers, gzip")),
        case("8.2.2", "TE of trailers", &[with("te", "trailers")], Status(1, "200")),
        bad("an unknown pseudo-field", with(":status", "200")),
        bad("a pseudo-field behind a field", fields(1, &late)),
        bad("a pseudo-field twice", fields(1, &twice)),
        bad("no :method", without(":method")),
        bad("no :scheme", without(":scheme")),
        bad("no :path", without(":path")),
        bad("no host", without(":authority")),
        case("8.3.1", "a host in Host", &[fields(1, &[BASE[0], BASE[1], BASE[2], ("host", "shop.test")])], Status(1, "200")),
        bad("two hosts", with("host", "other.test")),
        bad("an empty :path", fields(1, &[BASE[0], BASE[1], (":authority", "a"), (":path", "")])),
        bad("a :path that is none", fields(1, &[BASE[0], BASE[1], (":authority", "a"), (":path", "http://a/")])),
        bad("a blank in :path", fields(1, &[BASE[0], BASE[1], (":authority", "a"), (":path", "/a b")])),
        bad("a line end in :path", fields(1, &[BASE[0], BASE[1], (":authority", "a"), (":path", "/ HTTP/1.1\r\nX: y")])),
        bad("a line end in :method", fields(1, &[(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"), BASE[1], (":authority", "a"), BASE[2]])),
        bad("a blank in :method", fields(1, &[(":method", "GET /x"), BASE[1], (":authority", "a"), BASE[2]])),
        bad("a line end in :authority", fields(1, &[BASE[0], BASE[1], (":authority", "a\r\nX: y"), BASE[2]])),
        case("8.3.1", "a user in :authority", &[fields(1, &[BASE[0], BASE[1], (":authority", "u@a"), BASE[2]])], Status(1, "400")),
        bad("another scheme", fields(1, &[BASE[0], (":scheme", "ftp"), (":authority", "a"), BASE[2]])),
        case("8.5", "CONNECT", &[fields(1, &[(":method", "CONNECT"), (":authority", "a:80")])], Status(1, "501")),
        bad("CONNECT with a path", fields(1, &[(":method", "CONNECT"), (":authority", "a:80"), BASE[2]])),
        bad("a protocol without CONNECT", fields(1, &[BASE[0], BASE[1], BASE[2], (":authority", "a"), (":protocol", "websocket")])),
        bad("two lengths", get(1, &[("content-length", "0"), ("content-length", "0")])),
        bad("a length that is none", with("content-length", "+1")),
        bad("a length without a body", with("content-length", "5")),
        case("8.1.1", "a body that is too long", &[post(1, &[("content-length", "1")]), frame(DATA, END_STREAM, 1, b"ab")], Reset(1, PROTOCOL_ERROR)),
        case("8.1.1", "a body that is too short", &[post(1, &[("content-length", "3")]), frame(DATA, END_STREAM, 1, b"ab")], Reset(1, PROTOCOL_ERROR)),
        case("8.1", "a trailer that does not end", &[post(1, &[]), trailer(0, &[("a", "b")])], Reset(1, PROTOCOL_ERROR)),
        case("8.1", "a pseudo-field in a trailer", &[post(1, &[]), trailer(END_STREAM, &[(":path", "/")])], Reset(1, PROTOCOL_ERROR)),
        case("8.1", "a trailer with a capital", &[post(1, &[]), trailer(END_STREAM, &[("A", "b")])], Reset(1, PROTOCOL_ERROR)),
    ]
}

/// Plays a case over a connection that has said its first things.
fn play(case: &Case, mut peer: Peer, mirror: &Mirror) {
    let Case {
        section,
        what,
        sent,
        leads,
    } = case;
    let before = mirror.seen();
    peer.send(sent);
    let shown = format!("RFC 9113 section {section}: {what}");
    match *leads {
        Goaway(code) => assert_eq!(peer.end(), Some(code), "{shown}"),
        Reset(stream, code) => {
            peer.until(&shown, |peer| {
                peer.streams
                    .get(&stream)
                    .is_some_and(|answer| answer.reset.is_some())
            });
            assert_eq!(peer.streams[&stream].reset, Some(code), "{shown}");
            // What is wrong with a body shows when the head of its request is on its way.
            let begins_well = *section == "8.1" || *section == "8.1.1" || section.starts_with('6');
            assert!(
                begins_well || mirror.seen() == before,
                "{shown}: a server has seen it"
            );
        }
        Status(stream, status) => assert_eq!(peer.answer(stream).status(), status, "{shown}"),
        Nothing => {}
    }
    if !matches!(leads, Goaway(_)) {
        peer.send(&get(101, &[]));
        assert_eq!(
            peer.answer(101).status(),
            "200",
            "{shown}: the connection goes on"
        );
        assert_eq!(peer.goaway, None, "{shown}");
    }
}

#[test]
fn each_breach_of_a_rule_has_the_answer_that_the_standard_names() {
    let (proxy, mirror) = mirrored("");
    let address = proxy.address("shop");
    // First what no server must see: what is wrong with a connection may show when a request is on its
    // way, and would be counted late.
    let cases = [messages(), framing(), streams(), connection()];
    for case in cases.iter().flatten() {
        play(case, Peer::connect(address), &mirror);
    }
}

#[test]
fn the_rules_are_the_same_over_tls() {
    let (visitor, proxy, mirror) = secure();
    let address = proxy.address("shop");
    let cases = [messages(), framing(), streams(), connection()];
    for case in cases.iter().flatten() {
        let stream = visitor.connect(address, "shop.test");
        let mut peer = Peer::over(Box::new(stream));
        peer.preface();
        play(case, peer, &mirror);
    }
}

#[test]
fn what_a_connection_begins_with_is_looked_at_too() {
    let (visitor, proxy, _mirror) = secure();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let wrong: [(&str, Vec<u8>); 4] = [
        ("no preface", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        (
            "another preface",
            b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        ),
        (
            "no settings",
            [&preface[..], &frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "only an ACK",
            [&preface[..], &frame(SETTINGS, ACK, 0, &[])].concat(),
        ),
    ];
    for (what, bytes) in wrong {
        let stream = visitor.connect(proxy.address("shop"), "shop.test");
        let mut peer = Peer::over(Box::new(stream));
        peer.send(&bytes);
        assert_eq!(peer.end(), Some(PROTOCOL_ERROR), "{what}");
    }
}
