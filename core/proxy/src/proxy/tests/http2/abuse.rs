//! Clients that want to cost more than they pay: each is cut, and others do not notice.

use super::*;

fn others_are_served(proxy: &Proxy) {
    let mut client = Client::connect(proxy.address("shop"));
    assert_eq!(client.get("/").status, 200);
}

/// What is sent over and over.
type Each = fn(u32) -> Vec<u8>;

/// Sends until the balancer has had enough; how many times it was sent.
fn flood(peer: &mut Peer, count: u32, each: impl Fn(u32) -> Vec<u8>) {
    for at in 0..count {
        peer.send(&each(at));
    }
}

#[test]
fn floods_of_what_costs_nothing_end_the_connection() {
    let site = Site::new("a");
    let proxy = start(&shop(&[("a", site.address)]));
    let floods: [(&str, Each); 6] = [
        ("PING", |_| frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", |_| frame(SETTINGS, 0, 0, &[])),
        ("rapid reset", |at| {
            let block = headers(&request("GET", "/hold", &[]));
            let mut sent = frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &block);
            sent.extend(frame(RST_STREAM, 0, 2 * at + 1, &CANCEL.to_be_bytes()));
            sent
        }),
        ("streams that we have to break off", |at| {
            let block = headers(&request("GET", "/hold", &[]));
            let mut sent = frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &block);
            sent.extend(frame(WINDOW_UPDATE, 0, 2 * at + 1, &[0; 4]));
            sent
        }),
        ("requests that are none", |at| {
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                2 * at + 1,
                &headers(&[("a", "b")]),
            )
        }),
        ("more than may be asked at a time", |at| {
            let block = headers(&request("GET", "/hold", &[]));
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &block)
        }),
    ];
    for (what, each) in floods {
        let mut peer = Peer::connect(proxy.address("shop"));
        flood(&mut peer, 5000, each);
        assert_eq!(peer.end(), Some(ENHANCE_YOUR_CALM), "{what}");
        others_are_served(&proxy);
    }
    site.release();
    eventually("nothing is left of them", || {
        proxy.service("shop").connections_open == 0
    });
}

#[test]
fn empty_frames_and_endless_blocks_end_the_connection() {
    let site = Site::new("a");
    let proxy = start(&shop(&[("a", site.address)]));
    let block = headers(&request("POST", "/hold", &[]));
    let mut peer = Peer::connect(proxy.address("shop"));
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
    flood(&mut peer, 5000, |_| frame(DATA, 0, 1, &[]));
    assert_eq!(peer.end(), Some(ENHANCE_YOUR_CALM), "empty DATA");
    for piece in [&[][..], &[0x82], &[0; 16384]] {
        let mut peer = Peer::connect(proxy.address("shop"));
        peer.send(&frame(HEADERS, 0, 1, &block));
        flood(&mut peer, 200, |_| frame(CONTINUATION, 0, 1, piece));
        assert_eq!(peer.end(), Some(ENHANCE_YOUR_CALM), "{} bytes", piece.len());
    }
    others_are_served(&proxy);
}

#[test]
fn a_block_that_unpacks_to_much_more_is_refused_and_not_kept() {
    let site = Site::new("a");
    let proxy = start(&shop(&[("a", site.address)]));
    let mut peer = Peer::connect(proxy.address("shop"));
    let mut block = headers(&request("GET", "/", &[]));
    // One entry of nearly 4 KiB, and then its index by the thousand: 60 MiB of header.
    let value = "v".repeat(200);
    block.extend([0x40, 1, b'x', 127, 0x81, 0x1d]);
    let long = value.repeat(20);
    block.extend_from_slice(&long.as_bytes()[..127 + 1 + 0x1d * 128]);
    block.extend(vec![0xbe; 12_000]);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    assert_eq!(peer.answer(1).status(), "431");
    // The tables still agree.
    peer.send(&frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        3,
        &headers(&request("GET", "/", &[])),
    ));
    assert_eq!(peer.answer(3).text(), "a");
}

#[test]
fn more_data_than_there_is_room_for_is_an_error() {
    let site = Site::new("a");
    let proxy = start(&shop(&[("a", site.address)]));
    let address = proxy.address("shop");
    let post = |stream| {
        frame(
            HEADERS,
            END_HEADERS,
            stream,
            &headers(&request("POST", "/hold", &[])),
        )
    };
    let mut peer = Peer::connect(address);
    peer.send(&post(1));
    // The server does not read: what arrives has to be kept here, up to what was promised.
    let piece = frame(DATA, 0, 1, &[0; 16384]);
    let mut sent = 0_u32;
    while peer
        .streams
        .get(&1)
        .and_then(|answer| answer.reset)
        .is_none()
        && sent < 4096
    {
        peer.send(&piece);
        sent += 1;
        if sent.is_multiple_of(64) {
            let mark = u64::from(sent).to_be_bytes();
            peer.send(&frame(PING, 0, 0, &mark));
            peer.until("it is dealt with", |peer| {
                peer.pongs.contains(&mark) || peer.goaway.is_some()
            });
        }
    }
    assert_eq!(peer.streams[&1].reset, Some(FLOW_CONTROL_ERROR));
    others_are_served(&proxy);
    site.release();
}

#[test]
fn a_client_that_does_not_finish_what_it_begins_is_cut_in_time() {
    let site = Site::new("a");
    let text = shop(&[("a", site.address)]).replace(
        "pool = \"web\"\n",
        "pool = \"web\"\ntimeouts = { header = \"300ms\", idle = \"600ms\" }\n",
    );
    let proxy = start(&text);
    let address = proxy.address("shop");
    let block = headers(&request("GET", "/", &[]));
    let begun = frame(HEADERS, END_STREAM, 1, &block);
    let half = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)[..20].to_vec();
    for (what, bytes) in [("half a block", begun), ("half a frame", half)] {
        let mut peer = Peer::connect(address);
        peer.send(&bytes);
        assert_eq!(peer.end(), None, "{what}");
    }
    let mut peer = Peer::silent(address);
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM");
    assert_eq!(peer.end(), None, "half a preface");
    let mut peer = Peer::connect(address);
    assert_eq!(peer.end(), Some(NO_ERROR), "no request");
}

#[test]
fn a_client_that_takes_nothing_makes_us_keep_little() {
    let site = Site::new("a");
    let text = shop(&[("a", site.address)]).replace(
        "pool = \"web\"\n",
        "pool = \"web\"\ntimeouts = { header = \"300ms\" }\n",
    );
    let proxy = start(&text);
    let mut peer = Peer::connect(proxy.address("shop"));
    // It answers no PING, as it reads nothing; in the end not even that is read.
    let ping = frame(PING, 0, 0, &[1; 8]).repeat(100);
    for _ in 0..200 {
        peer.send(&ping);
        std::thread::sleep(Duration::from_millis(1));
    }
    eventually("it is cut", || proxy.service("shop").connections_open == 0);
    others_are_served(&proxy);
}
