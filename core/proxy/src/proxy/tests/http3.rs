//! HTTP/3 with clients, where a real client cannot be held still: `quinn` with frames of our own.

use std::cell::RefCell;
use std::io::IoSliceMut;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionError, Runtime as _, TokioRuntime, UdpPoller};
use rustls::sign::CertifiedKey;

use super::*;

/// A document whose service `shop` speaks HTTP/3 at this address.
fn document(address: SocketAddr, server: SocketAddr) -> String {
    let more = "pool = \"web\"\nhttp3 = true\ntls = { certificates = [\"own\"] }\n";
    shop(&[("a", server)])
        .replace("127.0.0.1:0", &address.to_string())
        .replace("pool = \"web\"\n", more)
        + "[certificates.own]\nsource = { self_signed = { names = [\"shop.test\"] } }\n"
}

fn certificate() -> Arc<CertifiedKey> {
    tls::certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// What a client sees of the datagrams that come to it.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn AsyncUdpSocket>,
    retries: AtomicUsize,
    /// Whether it reads none.
    deaf: AtomicBool,
}

impl AsyncUdpSocket for Watched {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.deaf.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        let outcome = self.inner.poll_recv(cx, buffers, metas);
        // A long header of the kind Retry (RFC 9000 section 17.2.5).
        let firsts = buffers.iter().filter_map(|buffer| buffer.first());
        if outcome.is_ready() && firsts.clone().any(|first| first & 0xf0 == 0xf0) {
            self.retries.fetch_add(1, Ordering::SeqCst);
        }
        outcome
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A client with a thread's own event loop, which stands still unless it is asked something.
struct Visitor {
    runtime: tokio::runtime::Runtime,
    endpoint: quinn::Endpoint,
    watched: Arc<Watched>,
    /// The control streams of its connections, whose end would be an error.
    controls: RefCell<Vec<quinn::SendStream>>,
}

impl Visitor {
    fn new(trusted: &Arc<CertifiedKey>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let watched = Arc::new(Watched {
            inner: TokioRuntime.wrap_udp_socket(socket).unwrap(),
            retries: AtomicUsize::new(0),
            deaf: AtomicBool::new(false),
        });
        let mut endpoint = quinn::Endpoint::new_with_abstract_socket(
            quinn::EndpointConfig::default(),
            None,
            Arc::clone(&watched) as Arc<dyn AsyncUdpSocket>,
            Arc::new(TokioRuntime),
        )
        .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.cert[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h3".to_vec()];
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
        drop(inside);
        Self {
            runtime,
            endpoint,
            watched,
            controls: RefCell::default(),
        }
    }

    fn connect(&self, address: SocketAddr) -> quinn::Connection {
        self.runtime.block_on(async {
            let connecting = self.endpoint.connect(address, "shop.test").unwrap();
            let connection = connecting.await.unwrap();
            let mut control = connection.open_uni().await.unwrap();
            control.write_all(&[0, 4, 0]).await.unwrap();
            self.controls.borrow_mut().push(control);
            connection
        })
    }

    /// Begins a handshake that does not come to its end.
    fn begin(&self, address: SocketAddr) -> quinn::Connecting {
        self.watched.deaf.store(true, Ordering::SeqCst);
        let _inside = self.runtime.enter();
        let connecting = self.endpoint.connect(address, "shop.test").unwrap();
        // Several turns of the event loop: what is to be sent is sent, and nothing is waited for.
        self.runtime.block_on(async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
        connecting
    }

    /// The answer to a request with this header, as it stands in the stream.
    fn ask(
        &self,
        connection: &quinn::Connection,
        fields: &[(&str, &str)],
    ) -> Result<Vec<u8>, quinn::ReadToEndError> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            send.write_all(&headers(fields)).await.unwrap();
            send.finish().unwrap();
            receive.read_to_end(1_000_000).await
        })
    }
}

fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        match u8::try_from(name.len()).unwrap() {
            short @ 0..7 => block.push(0x20 | short),
            long => block.extend([0x27, long - 7]),
        }
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value);
    }
    let length = u16::try_from(block.len()).unwrap() | 0x4000;
    [&[1][..], &length.to_be_bytes(), &block].concat()
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "shop.test"),
    (":path", "/"),
];

#[test]
fn who_floods_with_handshakes_makes_others_show_where_they_are() {
    let (site, shown) = (Site::new("a"), certificate());
    let text = document(free_address(), site.address);
    let proxy = tls::start_tls(&text, tls::material(&[("own", &shown)]), Memory::default());
    let address = proxy.address("shop");
    let before = Visitor::new(&shown);
    let connection = before.connect(address);
    assert!(before.ask(&connection, &GET).is_ok());
    assert_eq!(before.watched.retries.load(Ordering::SeqCst), 0);
    // More than the two workers bear, which each connection chooses by chance.
    let flood: Vec<_> = (0..8).map(|_| Visitor::new(&shown)).collect();
    let held: Vec<_> = flood
        .iter()
        .flat_map(|visitor| (0..40).map(|_| visitor.begin(address)))
        .collect();
    let open = || proxy.service("shop").connections_open;
    let all = 1 + 2 * 64;
    eventually("both workers have as many as they bear", || open() == all);
    let after = Visitor::new(&shown);
    let connection = after.connect(address);
    assert!(after.ask(&connection, &GET).is_ok());
    assert_eq!(after.watched.retries.load(Ordering::SeqCst), 1);
    assert_eq!(open(), all + 1, "no further one was begun without that");
    drop(held);
}

#[test]
fn a_successor_tells_clients_that_connections_are_no_more() {
    let (site, shown) = (Site::new("a"), certificate());
    let text = document(free_address(), site.address);
    let material = || tls::material(&[("own", &shown)]);
    let first = tls::start_tls(&text, material(), Memory::default());
    let address = first.address("shop");
    let visitor = Visitor::new(&shown);
    let connection = visitor.connect(address);
    assert!(visitor.ask(&connection, &GET).is_ok());
    let memory = first.memory();
    // It says nothing to anybody.
    drop(first);
    let _second = tls::start_tls(&text, material(), memory);
    assert!(visitor.ask(&connection, &GET).is_err());
    let reason = connection.close_reason();
    assert!(matches!(reason, Some(ConnectionError::Reset)), "{reason:?}");
    let again = visitor.connect(address);
    assert!(visitor.ask(&again, &GET).is_ok());
}

#[test]
fn a_websocket_is_a_stream_of_its_own() {
    let (site, shown) = (Site::new("a"), certificate());
    let text = document(free_address(), site.address);
    let proxy = tls::start_tls(&text, tls::material(&[("own", &shown)]), Memory::default());
    let visitor = Visitor::new(&shown);
    let connection = visitor.connect(proxy.address("shop"));
    let socket = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "shop.test"),
        (":path", "/socket"),
        ("sec-websocket-version", "13"),
    ];
    visitor.runtime.block_on(async {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&headers(&socket)).await.unwrap();
        let mut head = [0; 5];
        receive.read_exact(&mut head).await.unwrap();
        // HEADERS, with 200 of the static table behind the prefix of the block.
        assert_eq!((head[0], head[4]), (1, 0xd9), "{head:x?}");
        let mut rest = vec![0; usize::from(head[1]) - 3];
        receive.read_exact(&mut rest).await.unwrap();
        for text in [&b"hello"[..], b"again"] {
            let frame = [&[0, 5][..], text].concat();
            send.write_all(&frame).await.unwrap();
            let mut echo = [0; 7];
            receive.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, *frame);
        }
        send.finish().unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"");
    });
    assert!(visitor.ask(&connection, &GET).is_ok(), "others go on");
}
