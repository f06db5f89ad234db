//! TLS with clients, as a document describes it.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::client::Resumption;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::*;
use crate::tls::AuthorityMaterial;

mod pass;
mod servers;

/// A certificate for these hosts.
pub(super) fn certificate(
    hosts: &[&str],
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> Arc<CertifiedKey> {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::CertificateParams::new(hosts).unwrap();
    let made = made.self_signed(&key).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key.into()).unwrap();
    Arc::new(CertifiedKey::new(vec![made.der().clone()], key))
}

pub(super) fn material(certificates: &[(&str, &Arc<CertifiedKey>)]) -> Material {
    let named = |(name, key): &(&str, &Arc<CertifiedKey>)| (name.parse().unwrap(), Arc::clone(key));
    Material {
        certificates: certificates.iter().map(named).collect(),
        ..Material::default()
    }
}

pub(super) fn start_tls(text: &str, material: Material, memory: Memory) -> Proxy {
    let options = Options {
        workers: NonZeroUsize::new(2).unwrap(),
        connections_max: 10_000,
        access_log: None,
        sockets: Arc::new(OwnSockets::default()),
        memory,
        material,
    };
    Proxy::start(&config(text), options).unwrap()
}

/// A service `shop` that speaks TLS with these certificates, in front of a server.
fn secure_shop(certificates: &[&str], more: &str, site: &Site) -> String {
    let mut text = shop(&[("a", site.address)]).replace(
        "pool = \"web\"\n",
        &format!("pool = \"web\"\ntls = {{ certificates = {certificates:?}{more} }}\n"),
    );
    for name in certificates {
        writeln!(
            text,
            "[certificates.{name}]\nsource = {{ self_signed = {{ names = [\"x.test\"] }} }}"
        )
        .unwrap();
    }
    text
}

/// A client that trusts these certificates and comes back with its session.
pub(super) struct Visitor(Arc<ClientConfig>);

pub(super) struct Visit {
    kind: Option<HandshakeKind>,
    shown: Vec<u8>,
    pub(super) answer: String,
}

impl Visitor {
    pub(super) fn new(trusted: &[&Arc<CertifiedKey>]) -> Self {
        Self::with(trusted, rustls::ALL_VERSIONS)
    }

    fn with(
        trusted: &[&Arc<CertifiedKey>],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.cert[0].clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(64);
        Self(Arc::new(config))
    }

    /// The same client, which offers these protocols.
    pub(super) fn offering(&self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self(Arc::new(config))
    }

    pub(super) fn connect(
        &self,
        address: SocketAddr,
        host: &str,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        StreamOwned::new(session, TcpStream::connect(address).unwrap())
    }

    fn try_visit(&self, address: SocketAddr, host: &str, head: &str) -> io::Result<Visit> {
        let mut stream = self.connect(address, host);
        write!(
            stream,
            "{head}\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let shown = stream.conn.peer_certificates().unwrap_or_default();
        Ok(Visit {
            kind: stream.conn.handshake_kind(),
            shown: shown.first().map(|der| der.to_vec()).unwrap_or_default(),
            answer,
        })
    }

    pub(super) fn visit(&self, address: SocketAddr, host: &str) -> Visit {
        self.try_visit(address, host, "GET / HTTP/1.1").unwrap()
    }
}

#[test]
fn each_host_gets_its_certificate_of_the_kind_that_the_client_knows() {
    let site = Site::new("a");
    let (ec, rsa) = (&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256);
    let first = certificate(&["first.test", "anything.test"], ec);
    let shop = certificate(&["shop.test", "*.shop.test"], ec);
    let shop_rsa = certificate(&["shop.test", "*.shop.test"], rsa);
    let names = ["first", "shop-rsa", "shop"];
    let material = material(&[("first", &first), ("shop-rsa", &shop_rsa), ("shop", &shop)]);
    let text = secure_shop(&names, "", &site);
    let proxy = start_tls(&text, material, Memory::default());
    let address = proxy.address("shop");
    let visitor = Visitor::new(&[&first, &shop, &shop_rsa]);
    let shown = |host: &str| visitor.visit(address, host).shown;
    assert_eq!(shown("first.test"), first.cert[0].to_vec());
    assert_eq!(shown("shop.test"), shop.cert[0].to_vec());
    assert_eq!(shown("WWW.Shop.Test"), shop.cert[0].to_vec());
    let deep = visitor.try_visit(address, "a.b.shop.test", "GET / HTTP/1.1");
    assert!(
        deep.is_err(),
        "a wildcard is one label: {}",
        deep.unwrap().answer
    );
}

#[test]
fn a_session_goes_on_after_a_restart_with_the_keys_and_after_a_new_certificate() {
    let site = Site::new("a");
    let one = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let other = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let text = secure_shop(&["shop"], "", &site);
        let proxy = start_tls(&text, material(&[("shop", &one)]), Memory::default());
        let address = proxy.address("shop");
        let visitor = Visitor::with(&[&one, &other], versions);
        assert_ne!(
            visitor.visit(address, "shop.test").kind,
            Some(HandshakeKind::Resumed)
        );
        for _ in 0..8 {
            // Whichever core takes it.
            let visit = visitor.visit(address, "shop.test");
            assert_eq!(visit.kind, Some(HandshakeKind::Resumed));
            assert!(visit.answer.ends_with('a'), "{}", visit.answer);
        }
        let mut open = visitor.connect(address, "shop.test");
        open.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .unwrap();
        open.read_exact(&mut [0; 20]).unwrap();
        let prepared = proxy.prepare(&config(&text), &material(&[("shop", &other)]));
        proxy.commit(prepared.unwrap());
        let fresh = Visitor::with(&[&one, &other], versions);
        assert_eq!(
            fresh.visit(address, "shop.test").shown,
            other.cert[0].to_vec()
        );
        open.write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut rest = String::new();
        open.read_to_string(&mut rest).unwrap();
        assert!(
            rest.contains("HTTP/1.1 200"),
            "an open connection goes on: {rest}"
        );
        let memory = proxy.memory();
        drop(proxy);
        let proxy = start_tls(&text, material(&[("shop", &other)]), memory);
        let visit = visitor.visit(proxy.address("shop"), "shop.test");
        assert_eq!(visit.kind, Some(HandshakeKind::Resumed));
    }
}

#[test]
fn an_unknown_host_is_refused_when_that_is_wanted_and_counted() {
    let site = Site::new("a");
    let own = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let text = secure_shop(&["shop"], ", unknown_host = \"refuse\"", &site);
    let proxy = start_tls(&text, material(&[("shop", &own)]), Memory::default());
    let address = proxy.address("shop");
    let visitor = Visitor::new(&[&own]);
    assert!(visitor.visit(address, "shop.test").answer.contains("200"));
    let error = visitor.try_visit(address, "other.test", "GET / HTTP/1.1");
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    // The client may see its alert before that is counted.
    let line = "lb_virtual_service_tls_handshake_failures_total{virtual_service=\"shop\",reason=\"unknown_host\"} 1";
    eventually(line, || proxy.metrics().contains(line));
    let metrics = proxy.metrics();
    let line = "lb_virtual_service_tls_handshakes_total{virtual_service=\"shop\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn plain_http_on_a_tls_port_is_told_so_and_no_certificate_means_no_service() {
    let site = Site::new("a");
    let own = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let text = secure_shop(&["shop"], "", &site);
    let proxy = start_tls(&text, material(&[("shop", &own)]), Memory::default());
    let mut stream = TcpStream::connect(proxy.address("shop")).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    let length = format!("Content-Length: {}\r\n", body.len());
    assert!(head.contains(&length), "{answer}");
    let proxy = start_tls(&text, Material::default(), Memory::default());
    let visitor = Visitor::new(&[&own]);
    let refused = visitor.try_visit(proxy.address("shop"), "shop.test", "GET / HTTP/1.1");
    assert!(refused.is_err());
}

#[test]
fn servers_hear_of_https_and_browsers_are_told_to_keep_to_it() {
    let site = Site::new("a");
    let own = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let text = secure_shop(&["shop"], ", hsts = { max_age_days = 1 }", &site)
        + "[virtual_services.plain]\naddress = \"127.0.0.1:0\"\nredirect_to_https = true\n\
             [[virtual_services.shop.rules]]\nname = \"own\"\nmatch = { path = { exact = \"/own\" } }\n\
             action = { respond = { status = 418, body = \"own\" } }\n";
    let proxy = start_tls(&text, material(&[("shop", &own)]), Memory::default());
    let visitor = Visitor::new(&[&own]);
    let address = proxy.address("shop");
    for path in ["/", "/own"] {
        let visit = visitor.try_visit(address, "shop.test", &format!("GET {path} HTTP/1.1"));
        let answer = visit.unwrap().answer;
        assert!(
            answer.contains("\r\nStrict-Transport-Security: max-age=86400\r\n"),
            "{answer}"
        );
    }
    for (method, status) in [("GET", "301"), ("HEAD", "301"), ("POST", "308")] {
        let mut stream = TcpStream::connect(proxy.address("plain")).unwrap();
        write!(
            stream,
            "{method} /a?b HTTP/1.1\r\nHost: shop.test:80\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(
            answer.contains("\r\nLocation: https://shop.test/a?b\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn nothing_goes_in_the_open_to_servers_that_are_to_get_tls() {
    let site = Site::new("a");
    let plain = shop(&[("a", site.address)]);
    let proxy = start(&plain);
    let mut client = Client::connect(proxy.address("shop"));
    client.server();
    proxy.change(&plain.replace("[pools.web]\n", "[pools.web]\ntls = {}\n"));
    let before = site.requests();
    let mut stream = TcpStream::connect(proxy.address("shop")).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(site.requests(), before);
}

#[test]
fn what_a_client_says_about_a_certificate_reaches_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let head = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 8192];
        let count = stream.read(&mut head).unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).unwrap();
        String::from_utf8(head[..count].to_vec()).unwrap()
    });
    let proxy = start(&shop(&[("a", server)]));
    let mut stream = TcpStream::connect(proxy.address("shop")).unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nx-arr-clientcert: AAAA\r\n\
              X-SSL-Client-Verify: SUCCESS\r\nX_ARR_ClientCert: AAAA\r\nx_SSL-client_Verify: SUCCESS\r\n\
              X-Other: b\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let head = head.join().unwrap();
    assert!(head.contains("X-Other: b"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        !lower.contains("clientcert") && !lower.contains("ssl"),
        "{head}"
    );
}

#[test]
fn a_client_without_the_certificate_that_is_demanded_is_refused() {
    let site = Site::new("a");
    let own = certificate(&["shop.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let more = ", client_certificates = { authorities = [\"corp\"] }";
    let text = secure_shop(&["shop"], more, &site)
        + "[authorities.corp]\nsource = { file = \"/corp.pem\" }\n";
    let visitor = Visitor::new(&[&own]);
    let known = AuthorityMaterial {
        certificates: [own.cert[0].clone()].into(),
        revocation_lists: [].into(),
    };
    // An authority that could not be loaded lets nobody in.
    for authority in [Some(known), None] {
        let mut material = material(&[("shop", &own)]);
        let authority = authority.map(|known| ("corp".parse().unwrap(), known));
        material.authorities.extend(authority);
        let proxy = start_tls(&text, material, Memory::default());
        let refused = visitor.try_visit(proxy.address("shop"), "shop.test", "GET / HTTP/1.1");
        assert!(refused.is_err());
        assert_eq!(site.requests(), 0);
    }
}
