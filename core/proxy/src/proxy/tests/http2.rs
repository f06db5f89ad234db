//! HTTP/2 with clients, frame by frame.

use super::*;

mod abuse;
mod conformance;
mod exchange;
mod peer;
mod servers;

use peer::{Mirror, Peer, Saw, frame, headers, request};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const HAS_PRIORITY: u8 = 0x20;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 0xb;
const HTTP_1_1_REQUIRED: u32 = 0xd;

/// A proxy in front of a server that mirrors requests.
fn mirrored(more: &str) -> (Proxy, Mirror) {
    let mirror = Mirror::new();
    let text = shop(&[("a", mirror.address)]);
    let proxy = start(&text.replace("pool = \"web\"\n", &format!("pool = \"web\"\n{more}")));
    (proxy, mirror)
}

/// The same behind TLS, and a client that offers HTTP/2 there.
fn secure() -> (tls::Visitor, Proxy, Mirror) {
    let mirror = Mirror::new();
    let shown = tls::certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let text = shop(&[("a", mirror.address)]).replace(
        "pool = \"web\"\n",
        "pool = \"web\"\ntls = { certificates = [\"own\"] }\n",
    ) + "[certificates.own]\nsource = { self_signed = { names = [\"shop.test\"] } }\n";
    let material = tls::material(&[("own", &shown)]);
    let proxy = tls::start_tls(&text, material, Memory::default());
    let visitor = tls::Visitor::new(&[&shown]).offering(&[b"h2"]);
    (visitor, proxy, mirror)
}
