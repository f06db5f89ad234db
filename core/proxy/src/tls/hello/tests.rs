use std::sync::Arc;

use rustls::client::ClientConnection;
use rustls::{ClientConfig, RootCertStore};

use super::super::service::{provider, versions};
use super::*;
use lb_model::config::TlsPolicy;

/// What a real client says first.
fn said(host: &'static str, protocols: &[&[u8]]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(TlsPolicy::Intermediate))
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let mut client = ClientConnection::new(Arc::new(config), host.try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A hello with these extensions, in one record.
fn made(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        list.extend(*content);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
    body.extend(list);
    record_of(&message_of(&body))
}

fn message_of(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[CLIENT_HELLO], &length[1..], body].concat()
}

fn record_of(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[HANDSHAKE, 3, 1], &length[..], payload].concat()
}

fn name_list(names: &[&[u8]]) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names {
        list.push(0);
        list.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        list.extend(*name);
    }
    [&u16::try_from(list.len()).unwrap().to_be_bytes(), &list[..]].concat()
}

#[test]
fn what_a_real_client_says_is_understood_in_any_pieces() {
    let bytes = said("Shop.Test", &[b"h2", b"http/1.1"]);
    let hello = ClientHello::parse(&bytes).unwrap().unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("shop.test"));
    assert!(hello.offers("h2") && hello.offers("http/1.1") && !hello.offers("h3"));
    for cut in 0..bytes.len() {
        assert_eq!(ClientHello::parse(&bytes[..cut]), Ok(None), "at {cut}");
    }
    // The same message in records of one byte, of a few, and with something else behind it.
    for size in [1, 3, 100] {
        let mut cut: Vec<u8> = bytes[RECORD_HEAD..]
            .chunks(size)
            .flat_map(record_of)
            .collect();
        assert_eq!(ClientHello::parse(&cut), Ok(Some(hello.clone())), "{size}");
        cut.extend([20, 3, 3, 0, 1, 1]);
        assert_eq!(ClientHello::parse(&cut), Ok(Some(hello.clone())), "{size}");
    }
}

#[test]
fn a_client_may_ask_for_no_host_and_offer_no_protocol() {
    let bytes = said("192.0.2.1", &[]);
    let hello = ClientHello::parse(&bytes).unwrap().unwrap();
    assert_eq!(hello, ClientHello::default());
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    let old = record_of(&message_of(&body));
    assert_eq!(ClientHello::parse(&old), Ok(Some(ClientHello::default())));
}

#[test]
fn what_is_no_tls_is_known_by_its_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"SSH-2.0",
        &[HANDSHAKE, 2],
        &[128, 46, 1],
    ] {
        assert_eq!(ClientHello::parse(bytes), Err(NotHello::NotTls));
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let name = name_list(&[b"shop.test"]);
    let refused = [
        made(&[
            (SERVER_NAME, &name),
            (SERVER_NAME, &name_list(&[b"other.test"])),
        ]),
        made(&[(SERVER_NAME, &name_list(&[b"shop.test", b"other.test"]))]),
        made(&[(SERVER_NAME, &name_list(&[b"shop\0.test"]))]),
        made(&[(SERVER_NAME, &name_list(&[b"sh\xc3\xb6p.test"]))]),
        made(&[(SERVER_NAME, &name_list(&[b"."]))]),
        made(&[(SERVER_NAME, &[name.clone(), vec![0]].concat())]),
        made(&[(ALPN, &[0, 1, 0])]),
        made(&[
            (ALPN, &[0, 3, 2, b'h', b'2']),
            (ALPN, &[0, 3, 2, b'h', b'3']),
        ]),
        made(&[(ALPN, &[0, 4, 5, b'h', b'2', b'c'])]),
        record_of(&[2, 0, 0, 1, 0]),
        record_of(&[]),
        [&[HANDSHAKE, 3, 3, 0xff, 0xff][..], &[1; 9]].concat(),
        record_of(&[&message_of(&[0; 50])[..], &[9]].concat()),
    ];
    for bytes in refused {
        let error = ClientHello::parse(&bytes).unwrap_err();
        assert!(
            matches!(error, NotHello::Malformed(_)),
            "{error} of {bytes:?}"
        );
    }
    let good = made(&[
        (SERVER_NAME, &name_list(&[b"Shop.Test."])),
        (7777, b"later"),
    ]);
    let hello = ClientHello::parse(&good).unwrap().unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("shop.test"));
}

#[test]
fn a_hello_that_does_not_end_is_not_waited_for() {
    let announced = [CLIENT_HELLO, 0, 0x40, 1];
    assert_eq!(
        ClientHello::parse(&record_of(&announced)),
        Err(NotHello::TooLong)
    );
    let mut crumbs = Vec::new();
    for byte in message_of(&[0; 8000]) {
        crumbs.extend(record_of(&[byte]));
    }
    assert_eq!(ClientHello::parse(&crumbs[..HELLO_MAX - 1]), Ok(None));
    assert_eq!(
        ClientHello::parse(&crumbs[..HELLO_MAX]),
        Err(NotHello::TooLong)
    );
}
