//! TLS with servers, which are proxies that speak it with their clients.

use super::*;

/// A server that speaks TLS for these hosts, with its certificate.
struct Secure {
    site: Site,
    own: Arc<CertifiedKey>,
    proxy: Proxy,
}

impl Secure {
    fn new(hosts: &[&str]) -> Self {
        let site = Site::new("a");
        let own = certificate(hosts, &rcgen::PKCS_ECDSA_P256_SHA256);
        let text = secure_shop(&["shop"], "", &site);
        let proxy = start_tls(&text, material(&[("shop", &own)]), Memory::default());
        Self { site, own, proxy }
    }

    /// A service `front` in the open, over a pool with this TLS.
    fn document(&self, tls: &str) -> String {
        let address = self.proxy.address("shop");
        format!(
            "[virtual_services.front]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n\
             [pools.web]\ntls = {{ {tls} }}\nretries = 0\nservers.a = {{ address = \"{address}\" }}\n\
             [authorities.own]\nsource = {{ file = \"/own.pem\" }}\n\
             [certificates.us]\nsource = {{ self_signed = {{ names = [\"us.test\"] }} }}\n"
        )
    }

    /// Trusts the certificate of the server itself.
    fn trusting(&self) -> Material {
        let own = AuthorityMaterial {
            certificates: [self.own.cert[0].clone()].into(),
            revocation_lists: [].into(),
        };
        Material {
            authorities: [("own".parse().unwrap(), own)].into(),
            ..Material::default()
        }
    }

    fn pin(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.own.cert[0]);
        lb_model::value::Fingerprint::new(digest.as_ref().try_into().unwrap()).to_string()
    }
}

/// Asks in the open for a host.
fn ask(proxy: &Proxy, host: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address("front")).unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    // Who gets nothing may get it with a reset, before or after the request is sent.
    if stream.write_all(request.as_bytes()).is_ok() {
        drop(stream.read_to_string(&mut answer));
    }
    answer
}

fn is_good(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200")
}

fn is_refused(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 502")
}

#[test]
fn a_server_is_spoken_with_only_when_its_certificate_is_right() {
    let secure = Secure::new(&["shop.test"]);
    let pin = secure.pin();
    let other = "sha256:".to_owned() + &"ab".repeat(32);
    let cases = [
        // The name that the client asks for, or the one that is set.
        ("authorities = [\"own\"]".to_owned(), "shop.test", true),
        ("authorities = [\"own\"]".to_owned(), "SHOP.test", true),
        ("authorities = [\"own\"]".to_owned(), "other.test", false),
        ("authorities = [\"own\"]".to_owned(), "127.0.0.1", false),
        (
            "authorities = [\"own\"], server_name = \"shop.test\"".to_owned(),
            "other.test",
            true,
        ),
        (
            "authorities = [\"own\"], server_name = \"other.test\"".to_owned(),
            "shop.test",
            false,
        ),
        // Nobody vouches for it.
        (String::new(), "shop.test", false),
        (format!("pins = [\"{pin}\"]"), "any.test", true),
        (format!("pins = [\"{other}\", \"{pin}\"]"), "any.test", true),
        (format!("pins = [\"{other}\"]"), "shop.test", false),
        (
            format!("pins = [\"{other}\"], authorities = [\"own\"]"),
            "shop.test",
            false,
        ),
        (
            format!("pins = [\"{pin}\"], authorities = [\"own\"]"),
            "other.test",
            false,
        ),
        ("insecure = true".to_owned(), "any.test", true),
    ];
    for (tls, host, good) in cases {
        let proxy = start_tls(&secure.document(&tls), secure.trusting(), Memory::default());
        let before = secure.site.requests();
        let answer = ask(&proxy, host);
        assert_eq!(
            (is_good(&answer), is_refused(&answer)),
            (good, !good),
            "{tls} for {host}: {answer}"
        );
        assert_eq!(secure.site.requests(), before + usize::from(good), "{tls}");
    }
}

#[test]
fn nothing_is_sent_without_the_authority_or_certificate_that_is_named() {
    let secure = Secure::new(&["shop.test"]);
    for tls in [
        "authorities = [\"own\"]",
        "insecure = true, certificate = \"us\"",
    ] {
        let proxy = start_tls(
            &secure.document(tls),
            Material::default(),
            Memory::default(),
        );
        assert!(is_refused(&ask(&proxy, "shop.test")), "{tls}");
    }
    assert_eq!(
        (
            secure.site.requests(),
            secure.proxy.service("shop").connections
        ),
        (0, 0)
    );
}

#[test]
fn connections_are_kept_for_their_host_and_their_terms() {
    let secure = Secure::new(&["shop.test", "www.shop.test"]);
    let trusted = secure.document("authorities = [\"own\"]");
    let material = secure.trusting();
    let proxy = start_tls(&trusted, material.clone(), Memory::default());
    let opened = || secure.proxy.service("shop").connections;
    for (host, wanted) in [
        ("shop.test", 1),
        ("shop.test", 1),
        ("www.shop.test", 2),
        ("shop.test", 2),
    ] {
        assert!(is_good(&ask(&proxy, host)));
        // One core may have opened a connection that another has no part in.
        assert!(
            (wanted..=wanted * 2).contains(&opened()),
            "{host}: {}",
            opened()
        );
    }
    // A change that leaves TLS as it is keeps them; one that does not, does not.
    let more = trusted.replace("retries = 0", "retries = 1");
    let before = opened();
    proxy.commit(proxy.prepare(&config(&more), &material).unwrap());
    let pinned = secure.document(&format!("pins = [\"{}\"]", secure.pin()));
    proxy.commit(proxy.prepare(&config(&pinned), &material).unwrap());
    assert!(is_good(&ask(&proxy, "shop.test")));
    assert_eq!(opened(), before + 1);
    let wrong = "sha256:".to_owned() + &"cd".repeat(32);
    let wrong = secure.document(&format!("pins = [\"{wrong}\"]"));
    proxy.commit(proxy.prepare(&config(&wrong), &material).unwrap());
    assert!(is_refused(&ask(&proxy, "shop.test")));
}

#[test]
fn tcp_services_speak_tls_with_servers_too() {
    let secure = Secure::new(&["shop.test"]);
    let tls = "authorities = [\"own\"], server_name = \"shop.test\"";
    let text = secure
        .document(tls)
        .replace("pool = \"web\"", "pool = \"web\"\nprotocol = \"tcp\"");
    let proxy = start_tls(&text, secure.trusting(), Memory::default());
    assert!(is_good(&ask(&proxy, "anything")));
    let barred = start_tls(&text, Material::default(), Memory::default());
    assert_eq!(ask(&barred, "anything"), "");
}

#[test]
fn health_checks_speak_tls_and_say_why_they_cannot() {
    let secure = Secure::new(&["shop.test"]);
    let check = "\nhealth_check = { interval = \"100ms\", probe = { http = { host = \"HOST\" } } }\nretries = 0\n";
    for (host, is_up) in [("shop.test", true), ("other.test", false)] {
        let text = secure
            .document("authorities = [\"own\"]")
            .replace("\nretries = 0\n", &check.replace("HOST", host));
        let proxy = start_tls(&text, secure.trusting(), Memory::default());
        let found = || proxy.server("web", "a");
        eventually("it is probed", || found().probe.is_some());
        let reason = found().probe.unwrap();
        if is_up {
            eventually("it is up", || {
                found().condition == lb_model::status::Condition::Up
            });
        } else {
            assert!(
                reason.contains("is for `shop.test`, not for `other.test`")
                    && reason.contains("tls.server_name"),
                "{reason}"
            );
        }
    }
}
