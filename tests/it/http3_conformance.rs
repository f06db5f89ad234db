//! Clients that break the rules of RFC 9114 sections 4, 6 and 7 and of RFC 9204: each is told with the code
//! that the standard names, and no server hears of what it has sent.

use std::time::Duration;

use lb_tests::{Answer, Http3Client, WebServer, eventually};
use serde_json::json;

use crate::http3::Farm;

const GENERAL: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "shop.test"),
    (":path", "/"),
];
const FRAME_UNEXPECTED: u64 = 0x105;
const FRAME_ERROR: u64 = 0x106;
const EXCESSIVE_LOAD: u64 = 0x107;
const ID_ERROR: u64 = 0x108;
const SETTINGS_ERROR: u64 = 0x109;
const MISSING_SETTINGS: u64 = 0x10a;
const STREAM_CREATION_ERROR: u64 = 0x103;
const CLOSED_CRITICAL_STREAM: u64 = 0x104;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const MESSAGE_ERROR: u64 = 0x10e;
const DECOMPRESSION_FAILED: u64 = 0x200;
const ENCODER_STREAM_ERROR: u64 = 0x201;
const DECODER_STREAM_ERROR: u64 = 0x202;

/// The control stream of a client with its settings.
const CONTROL: &str = "000400";

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A length of at most 16383 as QUIC writes it.
fn integer(value: usize) -> Vec<u8> {
    if let Ok(value @ 0..64) = u8::try_from(value) {
        return vec![value];
    }
    let value = u16::try_from(value).expect("a length");
    (value | 0x4000).to_be_bytes().to_vec()
}

fn frame(kind: u8, payload: &[u8]) -> String {
    hex(&[&[kind][..], &integer(payload.len()), payload].concat())
}

/// A header block of literals.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        let length = |length| u8::try_from(length).expect("a short field");
        match length(name.len()) {
            short @ 0..7 => block.push(0x20 | short),
            long => block.extend([0x27, long - 7]),
        }
        block.extend(name);
        block.push(length(value.len()));
        block.extend(value);
    }
    block
}

fn headers(fields: &[(&str, &str)]) -> String {
    frame(1, &block(fields))
}

fn request(more: &[(&str, &str)]) -> String {
    headers(&[&GENERAL[..], more].concat())
}

/// Streams that a client opens: which way, their bytes, and whether they end.
type Streams<'a> = &'a [(&'a str, String, bool)];

async fn send(client: &mut Http3Client, streams: Streams<'_>) {
    for (number, (way, bytes, fin)) in streams.iter().enumerate() {
        client
            .tell(
                json!({ "do": "raw", "stream": way, "id": format!("{way}{number}"),
                "hex": bytes, "fin": fin }),
            )
            .await;
    }
}

async fn server_and_farm() -> (WebServer, Farm) {
    let server = WebServer::start("a").await;
    let farm = Farm::new(&server, "").await;
    (server, farm)
}

/// What a client does, and the code with which its connection ends.
struct Case {
    what: String,
    streams: Vec<(&'static str, String, bool)>,
    code: u64,
}

fn case(what: &str, streams: &[(&'static str, String, bool)], code: u64) -> Case {
    Case {
        what: what.to_owned(),
        streams: streams.to_vec(),
        code,
    }
}

fn control(more: &str) -> (&'static str, String, bool) {
    ("uni", format!("{CONTROL}{more}"), false)
}

fn bidi(bytes: &str, fin: bool) -> (&'static str, String, bool) {
    ("bidi", bytes.to_owned(), fin)
}

fn uni(bytes: &str) -> (&'static str, String, bool) {
    ("uni", bytes.to_owned(), false)
}

/// Sections 4.1 and 7.1: frames of a request in another order, or not whole.
fn on_streams_of_requests() -> Vec<Case> {
    let post = request(&[]);
    let trailer = headers(&[("x-sum", "1")]);
    let with =
        |what: &str, bytes: &str, fin, code| case(what, &[control(""), bidi(bytes, fin)], code);
    let mut cases = vec![
        with(
            "DATA before HEADERS",
            &frame(0, b"a"),
            false,
            FRAME_UNEXPECTED,
        ),
        with(
            "half a DATA frame",
            &format!("{post}000a61"),
            true,
            FRAME_ERROR,
        ),
        with("half a HEADERS frame", "010a0000", true, FRAME_ERROR),
        with(
            "half a frame's head",
            &format!("{post}40"),
            true,
            FRAME_ERROR,
        ),
    ];
    for (what, last) in [("DATA", frame(0, b"a")), ("HEADERS", trailer.clone())] {
        let bytes = format!("{post}{trailer}{last}");
        let what = format!("{what} behind a trailer");
        cases.push(with(&what, &bytes, false, FRAME_UNEXPECTED));
    }
    // Section 7.2.
    for kind in [0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xd] {
        let what = format!("a frame of kind {kind:#x} with a request");
        cases.push(with(&what, &frame(kind, b"\0"), false, FRAME_UNEXPECTED));
        let bytes = format!("{post}{}", frame(kind, b"\0"));
        let what = format!("{what} behind its header");
        cases.push(with(&what, &bytes, false, FRAME_UNEXPECTED));
    }
    for (what, block) in [
        ("a table is needed", &b"\x02\x00\x80"[..]),
        ("an entry of no table", b"\x00\x00\x80"),
        ("an entry behind the last", b"\x00\x00\xff\x24"),
        ("half a field", b"\x00\x00\x51\x05ab"),
        ("nothing", b""),
    ] {
        cases.push(with(what, &frame(1, block), true, DECOMPRESSION_FAILED));
    }
    cases
}

/// Sections 5.2 and 7.2: what is said about the connection.
fn on_the_control_stream() -> Vec<Case> {
    let alone = |what: &str, more: &str, code| case(what, &[control(more)], code);
    let settings = |what: &str, bytes: &str, code| case(what, &[uni(bytes)], code);
    let mut cases = vec![
        alone("a push is cancelled", &frame(3, b"\0"), ID_ERROR),
        alone(
            "fewer pushes",
            &(frame(0xd, b"\x05") + &frame(0xd, b"\x04")),
            ID_ERROR,
        ),
        alone(
            "GOAWAY grows",
            &(frame(7, b"\x04") + &frame(7, b"\x08")),
            ID_ERROR,
        ),
        settings(
            "no SETTINGS first",
            &format!("00{}", frame(7, b"\0")),
            MISSING_SETTINGS,
        ),
        settings("half a setting", "00040106", FRAME_ERROR),
        settings("a setting twice", "000404060a060a", SETTINGS_ERROR),
        settings("a setting that is 0 or 1", "0004020802", SETTINGS_ERROR),
        settings("large settings", "00044800", EXCESSIVE_LOAD),
    ];
    for kind in [0x0, 0x1, 0x2, 0x4, 0x5, 0x6, 0x8, 0x9] {
        let what = format!("a frame of kind {kind:#x} for the connection");
        cases.push(alone(&what, &frame(kind, b""), FRAME_UNEXPECTED));
    }
    for kind in [0x3, 0x7, 0xd] {
        let what = format!("{kind:#x} with more than a number");
        cases.push(alone(&what, &frame(kind, b"\0\0"), FRAME_ERROR));
        let what = format!("{kind:#x} without a number");
        cases.push(alone(&what, &frame(kind, b""), FRAME_ERROR));
    }
    for id in [0, 2, 3, 4, 5] {
        let what = format!("setting {id} of HTTP/2");
        cases.push(settings(
            &what,
            &format!("000402{id:02x}00"),
            SETTINGS_ERROR,
        ));
    }
    cases
}

/// Section 6.2 and RFC 9204 section 4: streams that go one way.
fn on_streams_that_go_one_way() -> Vec<Case> {
    let with = |what: &str, more: &[(&'static str, String, bool)], code| {
        case(what, &[&[control("")], more].concat(), code)
    };
    let closed = |bytes: &str| ("uni", bytes.to_owned(), true);
    let mut cases = vec![
        with("two control streams", &[control("")], STREAM_CREATION_ERROR),
        with("a push", &[uni("0100")], STREAM_CREATION_ERROR),
        case(
            "a closed control stream",
            &[closed(CONTROL)],
            CLOSED_CRITICAL_STREAM,
        ),
        with(
            "an entry for a table",
            &[uni("02c00161")],
            ENCODER_STREAM_ERROR,
        ),
        with("a table", &[uni("023fe11f")], ENCODER_STREAM_ERROR),
        with("what nobody has sent", &[uni("0380")], DECODER_STREAM_ERROR),
    ];
    for kind in ["02", "03"] {
        let two = [uni(kind), uni(kind)];
        cases.push(with("two streams for QPACK", &two, STREAM_CREATION_ERROR));
        let one = [closed(kind)];
        cases.push(with(
            "a closed stream for QPACK",
            &one,
            CLOSED_CRITICAL_STREAM,
        ));
    }
    cases
}

#[tokio::test]
async fn what_breaks_the_connection() {
    let (server, farm) = server_and_farm().await;
    let groups = [
        on_streams_of_requests(),
        on_the_control_stream(),
        on_streams_that_go_one_way(),
    ];
    for Case {
        what,
        streams,
        code,
    } in groups.iter().flatten()
    {
        let mut client = farm.connect_with(&["raw"]).await;
        send(&mut client, streams).await;
        let closed = client.event("closed").await;
        assert_eq!(closed["code"], *code, "{what}: {closed}, not {code:#x}");
    }
    assert_eq!(server.request_count(), 0, "{:?}", server.requests());
}

#[tokio::test]
async fn control_streams_that_are_broken_off_break_the_connection() {
    let (_server, farm) = server_and_farm().await;
    let mut client = farm.connect_with(&["raw"]).await;
    let streams = [
        ("uni", CONTROL.to_owned(), false),
        bidi(&request(&[]), true),
    ];
    send(&mut client, &streams).await;
    // What is broken off before it was looked at is no control stream.
    client
        .next("the answer to what came behind it", |told| {
            told["stream"] == 0
        })
        .await;
    client.tell(json!({ "do": "reset", "id": "uni0" })).await;
    assert_eq!(client.event("closed").await["code"], CLOSED_CRITICAL_STREAM);
    let mut client = farm.connect_with(&["raw"]).await;
    send(&mut client, &[("uni", CONTROL.to_owned(), false)]).await;
    client
        .next("the settings of the balancer", |told| told["stream"] == 3)
        .await;
    // The first stream of the server that goes one way.
    client.tell(json!({ "do": "stop", "stream": 3 })).await;
    assert_eq!(client.event("closed").await["code"], CLOSED_CRITICAL_STREAM);
}

/// Sections 4.2, 4.3 and 10.3.
fn malformed_fields() -> Vec<(&'static str, String)> {
    let with = |more: &[(&str, &str)]| request(more);
    let without = |name: &str| {
        let fields = GENERAL.iter().filter(|(known, _)| *known != name);
        headers(&fields.copied().collect::<Vec<_>>())
    };
    vec![
        ("a capital letter", with(&[("X-Own", "1")])),
        ("no name", with(&[("", "1")])),
        ("a name that is no token", with(&[("x own", "1")])),
        (
            "a line end in a value",
            with(&[("x-own", "1\r\nx-other: 2")]),
        ),
        ("a zero in a value", with(&[("x-own", "1\0")])),
        ("white space around a value", with(&[("x-own", " 1")])),
        ("a field of a connection", with(&[("connection", "close")])),
        ("chunks", with(&[("transfer-encoding", "chunked")])),
        ("an upgrade", with(&[("upgrade", "websocket")])),
        ("TE with more than trailers", with(&[("te", "gzip")])),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no host", without(":authority")),
        (
            "an empty path",
            headers(&[GENERAL[0], GENERAL[1], GENERAL[2], (":path", "")]),
        ),
        ("a pseudo-field twice", with(&[(":path", "/")])),
        ("an unknown pseudo-field", with(&[(":own", "1")])),
        ("a field of answers", with(&[(":status", "200")])),
        (
            "a pseudo-field behind a field",
            with(&[("x-own", "1"), (":protocol", "websocket")]),
        ),
        ("another host", with(&[("host", "other.test")])),
        (
            "two hosts",
            with(&[("host", "shop.test"), ("host", "shop.test")]),
        ),
        (
            "CONNECT with a path",
            headers(&[&[(":method", "CONNECT")], &GENERAL[1..]].concat()),
        ),
    ]
}

/// Sections 4.1.2 and 4.3.
fn malformed_bodies() -> Vec<(&'static str, String)> {
    let with = |more: &[(&str, &str)]| request(more);
    let data = |bytes: &[u8]| frame(0, bytes);
    vec![
        ("a length that is none", with(&[("content-length", "1,1")])),
        (
            "two lengths",
            with(&[("content-length", "1"), ("content-length", "1")]),
        ),
        (
            "more than its length",
            with(&[("content-length", "1")]) + &data(b"ab"),
        ),
        (
            "less than its length",
            with(&[("content-length", "3")]) + &data(b"ab"),
        ),
        ("nothing of its length", with(&[("content-length", "3")])),
        (
            "a pseudo-field in a trailer",
            with(&[]) + &data(b"a") + &headers(&[(":path", "/")]),
        ),
        (
            "a capital letter in a trailer",
            with(&[]) + &data(b"a") + &headers(&[("X-Sum", "/")]),
        ),
    ]
}

#[tokio::test]
async fn what_breaks_a_request_leaves_the_others_alone() {
    let (server, farm) = server_and_farm().await;
    let malformed = [malformed_fields(), malformed_bodies()].concat();
    let mut client = farm.connect_with(&["raw"]).await;
    send(&mut client, &[("uni", CONTROL.to_owned(), false)]).await;
    for (number, (what, bytes)) in malformed.iter().enumerate() {
        let id = format!("malformed {number}");
        client
            .tell(json!({ "do": "raw", "stream": "bidi", "id": id, "hex": bytes, "fin": true }))
            .await;
        let told = client
            .next(what, |told| told["id"] == *id && told["reset"].is_u64())
            .await;
        assert_eq!(told["reset"], MESSAGE_ERROR, "{what}: {told}");
    }
    for bytes in ["", "2100"] {
        let id = format!("incomplete {bytes}");
        client
            .tell(json!({ "do": "raw", "stream": "bidi", "id": id, "hex": bytes, "fin": true }))
            .await;
        let told = client.next("incomplete", |told| told["id"] == *id).await;
        assert_eq!(told["reset"], REQUEST_INCOMPLETE, "{told}");
    }
    assert_eq!(server.request_count(), 0, "{:?}", server.requests());
    client
        .tell(json!({ "do": "raw", "stream": "bidi", "id": "good", "hex": request(&[]), "fin": true }))
        .await;
    let good = client
        .next("an answer", |told| {
            told["id"] == "good" && told["fin"] == true
        })
        .await;
    assert!(good["hex"].is_string(), "{good}");
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn what_means_nothing_is_passed_over() {
    let (server, farm) = server_and_farm().await;
    let mut client = farm.connect_with(&["raw"]).await;
    let unknown = frame(0x21, b"anything");
    let own = format!("{unknown}{}{unknown}", request(&[]));
    send(
        &mut client,
        &[
            // Settings and frames that nobody knows, and the limit of pushes.
            (
                "uni",
                format!(
                    "0004022105{unknown}{}{}",
                    frame(0xd, b"\x08"),
                    frame(7, b"\0")
                ),
                false,
            ),
            ("uni", "0220".to_owned(), false),
            ("uni", "0344".to_owned(), false),
            ("uni", "21616263".to_owned(), false),
            ("bidi", own, true),
        ],
    )
    .await;
    let stopped = client
        .next("unknown streams are stopped", |told| {
            told["stopped"].is_u64()
        })
        .await;
    assert_eq!(
        (&stopped["id"], &stopped["stopped"]),
        (&json!("uni3"), &json!(STREAM_CREATION_ERROR))
    );
    client
        .next("the answer", |told| {
            told["id"] == "bidi4" && told["fin"] == true
        })
        .await;
    assert_eq!(server.request_count(), 1);
    // In single bytes.
    let mut client = farm.connect_with(&["raw"]).await;
    send(&mut client, &[("uni", CONTROL.to_owned(), false)]).await;
    let bytes = request(&[("content-length", "2")]) + &frame(0, b"a") + &frame(0, b"b");
    let digits: Vec<char> = bytes.chars().collect();
    for two in digits.chunks(2) {
        let byte: String = two.iter().collect();
        client
            .tell(json!({ "do": "raw", "stream": "bidi", "id": "slow", "hex": byte }))
            .await;
    }
    client
        .tell(json!({ "do": "raw", "id": "slow", "fin": true }))
        .await;
    client
        .next("the answer", |told| {
            told["id"] == "slow" && told["fin"] == true
        })
        .await;
    assert_eq!(server.last_request().text(), "ab");
}

#[tokio::test]
async fn who_breaks_off_what_it_begins_is_told_to_stop() {
    let server =
        WebServer::answering("a", |_| Answer::ok("a").after(Duration::from_millis(200))).await;
    let farm = Farm::new(&server, "").await;
    for sending in [true, false] {
        let mut client = farm.connect().await;
        client
            .tell(json!({ "do": "many", "id": "flood", "count": 3000, "body": sending }))
            .await;
        assert_eq!(
            client.event("closed").await["code"],
            EXCESSIVE_LOAD,
            "{sending}"
        );
    }
    // Of each flood what the budget allows at once and each second, and what was in progress at its end.
    let reached = server.request_count();
    assert!(
        reached <= 1500,
        "{reached} of 6,000 have reached the server"
    );
    let mut client = farm.connect_with(&["raw"]).await;
    let nothing = "2100".repeat(1000);
    send(
        &mut client,
        &[("uni", format!("{CONTROL}{nothing}"), false)],
    )
    .await;
    assert_eq!(client.event("closed").await["code"], EXCESSIVE_LOAD);
    let mut client = farm.connect().await;
    assert_eq!(client.get("/").await["status"], 200, "others are served");
}

#[tokio::test]
async fn what_a_client_breaks_off_is_given_up_at_the_server() {
    let server = WebServer::answering("a", |_| Answer::ok("a").after(Duration::from_mins(1))).await;
    let farm = Farm::new(&server, "").await;
    let mut client = farm.connect().await;
    client
        .tell(json!({ "do": "request", "id": "long", "path": "/" }))
        .await;
    eventually("the server works", async || {
        (server.working() == 1).then_some(())
    })
    .await;
    assert_eq!(server.open(), 1);
    client.tell(json!({ "do": "abort", "id": "long" })).await;
    eventually("the balancer logs that the client is gone", async || {
        let log = farm.balancer.lines().concat();
        log.contains("client_gone").then_some(())
    })
    .await;
}
