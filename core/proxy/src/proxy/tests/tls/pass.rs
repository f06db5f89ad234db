//! TLS that is passed through, in front of proxies that speak it.

use super::*;

/// A proxy that speaks TLS for a host, with its certificate.
struct Behind {
    site: Site,
    own: Arc<CertifiedKey>,
    proxy: Proxy,
}

impl Behind {
    fn new(host: &str, name: &'static str) -> Self {
        let site = Site::new(name);
        let own = certificate(&[host], &rcgen::PKCS_ECDSA_P256_SHA256);
        let text = secure_shop(&["shop"], "", &site);
        let proxy = start_tls(&text, material(&[("shop", &own)]), Memory::default());
        Self { site, own, proxy }
    }

    fn pool(&self, name: &str) -> String {
        pool(name, &[("s", self.proxy.address("shop"))])
    }
}

const SERVICE: &str = "[virtual_services.pass]\naddress = \"127.0.0.1:0\"\nprotocol = \"tls\"\n\
    timeouts = { header = \"1s\" }\n";

/// A rule with these conditions, and its pool.
fn rule(name: &str, conditions: &str) -> String {
    format!(
        "[[virtual_services.pass.rules]]\nname = \"{name}\"\nmatch = {{ {conditions} }}\n\
         action = {{ pool = \"{name}\" }}\n"
    )
}

fn failures(proxy: &Proxy, reason: &str) -> bool {
    let line = format!(
        "lb_virtual_service_tls_handshake_failures_total{{virtual_service=\"pass\",reason=\"{reason}\"}} 1"
    );
    proxy.metrics().contains(&line)
}

#[test]
fn the_host_that_a_client_asks_for_decides_and_nothing_is_decrypted() {
    let (a, b) = (Behind::new("a.test", "a"), Behind::new("www.b.test", "b"));
    let text = [
        SERVICE.to_owned(),
        rule("one", "host = [\"a.test\"]"),
        rule("two", "host = [\"*.b.test\"]"),
        a.pool("one"),
        b.pool("two"),
    ];
    let proxy = start(&text.concat());
    let address = proxy.address("pass");
    let visitor = Visitor::new(&[&a.own, &b.own]);
    for (host, behind, name) in [("a.test", &a, "a"), ("www.b.test", &b, "b")] {
        let first = visitor.visit(address, host);
        assert_eq!(first.shown, behind.own.cert[0].to_vec());
        assert!(first.answer.ends_with(name), "{}", first.answer);
        // The server behind knows its client again.
        let second = visitor.visit(address, host);
        assert_eq!(second.kind, Some(HandshakeKind::Resumed));
    }
    assert_eq!((a.site.requests(), b.site.requests()), (2, 2));

    let error = visitor.try_visit(address, "b.test", "GET / HTTP/1.1");
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    eventually("it is counted", || failures(&proxy, "unknown_host"));
}

#[test]
fn what_a_client_offers_to_speak_decides_and_the_rest_has_a_pool() {
    let (a, b) = (Behind::new("a.test", "a"), Behind::new("a.test", "b"));
    let service = format!("{SERVICE}pool = \"rest\"\n");
    let text = [
        service,
        rule("one", "alpn = [\"h2\", \"http/1.1\"]"),
        a.pool("one"),
        b.pool("rest"),
    ];
    let proxy = start(&text.concat());
    let visitor = Visitor::new(&[&a.own, &b.own]);
    let answer = visitor.visit(proxy.address("pass"), "a.test").answer;
    assert!(answer.ends_with('b'), "{answer}");
    let offers = visitor.offering(&[b"http/1.1"]);
    let answer = offers.visit(proxy.address("pass"), "a.test").answer;
    assert!(answer.ends_with('a'), "{answer}");
}

#[test]
fn who_speaks_no_tls_or_takes_too_long_is_cut_and_counted() {
    let a = Behind::new("a.test", "a");
    let proxy = start(&format!("{SERVICE}pool = \"one\"\n{}", a.pool("one")));
    let ends = |said: &[u8]| {
        let mut stream = TcpStream::connect(proxy.address("pass")).unwrap();
        stream.write_all(said).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    assert_eq!(ends(b"GET / HTTP/1.1\r\n\r\n"), b"");
    eventually("it is counted", || failures(&proxy, "not_tls"));
    // Half of a hello.
    assert_eq!(ends(&[22, 3, 1, 1, 0, 1, 0]), b"");
    eventually("it is counted", || failures(&proxy, "timeout"));
    // A hello whose inside makes no sense, and the alert that says so.
    assert_eq!(
        ends(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 9]),
        [21, 3, 3, 0, 2, 2, 50]
    );
    eventually("it is counted", || failures(&proxy, "protocol"));
    assert_eq!(a.proxy.service("shop").connections, 0);
}

#[test]
fn without_a_server_the_client_gets_an_alert() {
    let text = format!(
        "{SERVICE}pool = \"one\"\n{}",
        pool("one", &[("gone", free_address())])
    );
    let proxy = start(&text);
    let own = certificate(&["a.test"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let visitor = Visitor::new(&[&own]);
    let error = visitor.try_visit(proxy.address("pass"), "a.test", "GET / HTTP/1.1");
    let error = error.err().expect("refused").to_string();
    assert!(error.contains("InternalError"), "{error}");
}
