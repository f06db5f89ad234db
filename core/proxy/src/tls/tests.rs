//! Our streams against rustls' own buffered side, over real sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::handshake::HandshakeError;
use super::handshake::connect;
use super::service::{provider, versions};
use super::stream::TlsStream;
use super::*;
use crate::stream::Stream;
use lb_model::config::TlsPolicy;

type Peer = StreamOwned<ClientConnection, StdStream>;

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

fn configs(policy: TlsPolicy, of_client: &'static [&'static SupportedProtocolVersion]) -> Configs {
    let made = rcgen::generate_simple_self_signed(vec!["shop.test".into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(policy))
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(of_client)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Configs {
        server: Arc::new(server),
        client: Arc::new(client),
    }
}

fn modern() -> Configs {
    configs(TlsPolicy::Modern, versions(TlsPolicy::Modern))
}

fn name() -> ServerName<'static> {
    "shop.test".try_into().unwrap()
}

/// A peer that does something on a thread of its own, and our side of the connection to it.
async fn against<T: Send + 'static>(
    configs: &Configs,
    peer: impl FnOnce(Peer) -> T + Send + 'static,
) -> (TlsStream<ServerSide>, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Arc::clone(&configs.client);
    let peer = thread::spawn(move || {
        let socket = StdStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        peer(StreamOwned::new(
            ClientConnection::new(client, name()).unwrap(),
            socket,
        ))
    });
    let (socket, _) = listener.accept().await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let stream = accept(socket, Arc::clone(&configs.server), until)
        .await
        .unwrap();
    (stream, peer)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn large_amounts_go_both_ways_at_a_time_and_end_in_order() {
    const LENGTH: usize = 5_000_000;
    for configs in [modern(), configs(TlsPolicy::Intermediate, &TLS12)] {
        let (stream, peer) = against(&configs, |mut peer| {
            peer.write_all(&pattern(LENGTH)).unwrap();
            peer.conn.send_close_notify();
            peer.flush().unwrap();
            let mut all = Vec::new();
            // An end without close_notify would be an error here.
            peer.read_to_end(&mut all).unwrap();
            all
        })
        .await;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await.unwrap();
        assert!(received == pattern(LENGTH));
        writer.write_all(&pattern(LENGTH)).await.unwrap();
        writer.shutdown().await.unwrap();
        assert!(peer.join().unwrap() == pattern(LENGTH));
    }
}

#[tokio::test]
async fn single_bytes_arrive_as_they_were_sent_and_an_idle_stream_holds_no_memory() {
    let configs = modern();
    let (mut stream, peer) = against(&configs, |mut peer| {
        let mut byte = [0];
        for expected in pattern(300) {
            peer.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], expected);
            peer.write_all(&byte).unwrap();
        }
        peer
    })
    .await;
    for byte in pattern(300) {
        stream.write_all(&[byte]).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), byte);
    }
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(stream.poll_readable(cx)));
    assert!(waits.await.is_pending());
    assert_eq!(stream.memory(), 0);
    drop(peer.join().unwrap());
}

#[tokio::test]
async fn a_connection_that_ends_without_close_notify_is_broken() {
    let configs = modern();
    let (mut stream, peer) = against(&configs, |mut peer| {
        peer.write_all(b"some").unwrap();
        drop(peer.sock);
    })
    .await;
    peer.join().unwrap();
    let mut all = Vec::new();
    let error = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(
        (error.kind(), all.as_slice()),
        (ErrorKind::UnexpectedEof, &b"some"[..])
    );
}

#[tokio::test]
async fn half_a_record_is_waited_for_and_then_broken_off() {
    let configs = modern();
    let (mut stream, peer) = against(&configs, |mut peer| {
        peer.write_all(b"a").unwrap();
        peer.conn.writer().write_all(&[7; 1000]).unwrap();
        let mut record = Vec::new();
        peer.conn.write_tls(&mut record).unwrap();
        peer.sock.write_all(&record[..500]).unwrap();
        peer
    })
    .await;
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    let mut room = [0; 10];
    let early = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut room));
    assert!(
        early.await.is_err(),
        "no byte of an unproven record is told"
    );
    let peer = peer.join().unwrap();
    peer.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let error = stream.read(&mut room).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn new_keys_and_tickets_are_no_data_and_disturb_none() {
    let configs = modern();
    let (mut stream, peer) = against(&configs, |mut peer| {
        let mut byte = [0];
        peer.flush().unwrap();
        for _ in 0..20 {
            peer.conn.refresh_traffic_keys().unwrap();
            peer.write_all(b"x").unwrap();
            peer.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"y");
        }
    })
    .await;
    for _ in 0..20 {
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        stream.write_all(b"y").await.unwrap();
    }
    peer.join().unwrap();
}

#[tokio::test]
async fn a_changed_record_is_refused_with_an_alert() {
    let configs = modern();
    let (mut stream, peer) = against(&configs, |mut peer| {
        peer.write_all(b"a").unwrap();
        peer.conn.writer().write_all(b"b").unwrap();
        let mut record = Vec::new();
        peer.conn.write_tls(&mut record).unwrap();
        *record.last_mut().unwrap() ^= 1;
        peer.sock.write_all(&record).unwrap();
        peer.read(&mut [0]).unwrap_err().to_string()
    })
    .await;
    let mut all = Vec::new();
    let error = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(
        (error.kind(), all.as_slice()),
        (ErrorKind::InvalidData, &b"a"[..])
    );
    drop(stream);
    let heard = peer.join().unwrap();
    assert!(heard.contains("BadRecordMac"), "{heard}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_makes_the_writer_wait_and_gets_everything_later() {
    let configs = modern();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (mut stream, peer) = against(&configs, move |mut peer| {
        peer.flush().unwrap();
        // Ends when the writer has been seen to wait.
        let _gone = gone.recv();
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all.len()
    })
    .await;
    let piece = pattern(50_000);
    let mut written = 0;
    loop {
        let write = tokio::time::timeout(Duration::from_millis(200), stream.write(&piece));
        match write.await {
            Ok(count) => written += count.unwrap(),
            Err(_) => break,
        }
    }
    assert!(stream.is_midway());
    go.send(()).unwrap();
    written += stream.write(&piece).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(peer.join().unwrap(), written);
}

#[tokio::test]
async fn both_of_our_sides_understand_each_other() {
    let configs = modern();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let client = connect(socket, configs.client, name(), until);
    let (accepted, _) = listener.accept().await.unwrap();
    let server = accept(accepted, configs.server, until);
    let client = async {
        let mut client = client.await.unwrap();
        // The end of the handshake goes with it.
        client.write_all(b"question").await.unwrap();
        client
    };
    let (mut client, server) = tokio::join!(client, server);
    let mut server = server.unwrap();
    let mut room = [0; 8];
    server.read_exact(&mut room).await.unwrap();
    assert_eq!(&room, b"question");
    server.write_all(b"answer").await.unwrap();
    // Dropping it says that this was all.
    drop(server);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"answer");
}

/// What our side says of a peer that sends these bytes and no more, and what the peer hears.
async fn refused(sent: &'static [u8], stays: bool) -> (HandshakeError, Vec<u8>) {
    let configs = modern();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let mut peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(sent).unwrap();
    if !stays {
        peer.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    let until = Instant::now() + Duration::from_millis(200);
    let error = accept(socket, configs.server, until).await.unwrap_err();
    let mut heard = Vec::new();
    let _end: io::Result<usize> = peer.read_to_end(&mut heard);
    (error, heard)
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_in_words_that_the_peer_knows() {
    let (error, _) = refused(b"", true).await;
    assert_eq!(error.reason().word(), "timeout");
    let (error, _) = refused(b"\x16\x03\x01\x00\x80\x01\x00", true).await;
    assert_eq!(error.reason().word(), "timeout");
    let (error, _) = refused(b"\x16\x03\x01\x00\x80\x01\x00", false).await;
    assert_eq!(error.reason().word(), "client_gone");
    let (error, heard) = refused(b"SSH-2.0-x\r\n", true).await;
    assert_eq!(error.reason().word(), "not_tls");
    assert_eq!(heard.first(), Some(&21), "an alert");
}

#[test]
fn base64_is_that_of_the_standard() {
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(&*base64(bytes.as_bytes()), text.as_bytes());
    }
}
