//! TLS with real clients and servers: `curl` and `openssl`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use lb_tests::{Answer, Authority, Balancer, Finished, Process, WebServer, free_port, run, shop};
use tokio::process::Command;

/// Asks for a host with `curl`, which knows the authority.
async fn curl(authority: &Authority, host: &str, port: u16, path: &str, args: &[&str]) -> Finished {
    let (root, to) = (authority.file("ca.pem"), format!("{host}:{port}:127.0.0.1"));
    let url = format!("https://{host}:{port}{path}");
    let fixed = [
        "-si",
        "--http1.1",
        "--max-time",
        "20",
        "--cacert",
        &root,
        "--resolve",
        &to,
    ];
    run("curl", &[&fixed[..], args, &[&url]].concat()).await
}

/// What `openssl s_client` says of a handshake.
async fn handshake(balancer: &Balancer, args: &str) -> Finished {
    let address = balancer.address("shop");
    let line =
        format!("openssl s_client -connect {address} -servername shop.test {args} </dev/null 2>&1");
    run("sh", &["-c", &line]).await
}

fn with_tls(authority: &Authority, names: &[&str], tls: &str, server: &WebServer) -> String {
    let document = shop(
        &format!("tls = {{ certificates = {names:?}{tls} }}"),
        "",
        &[server],
    );
    let certificates = names.iter().map(|name| authority.certificate(name));
    document + "\n" + &certificates.collect::<String>()
}

#[tokio::test]
async fn versions_and_ciphers_are_those_of_the_policy() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    authority.issue_rsa("rsa", &["shop.test"]).await;
    let server = WebServer::start("iis1").await;
    let names = ["rsa", "ec"];
    let intermediate = Balancer::start(&with_tls(&authority, &names, "", &server)).await;
    let modern = ", policy = \"modern\"";
    let modern = Balancer::start(&with_tls(&authority, &names, modern, &server)).await;
    let cases = [
        // What is offered, and what intermediate and modern make of it.
        ("-tls1_3", Some("TLSv1.3"), Some("TLSv1.3")),
        ("-tls1_2", Some("ECDHE-ECDSA-AES256-GCM-SHA384"), None),
        (
            "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
            Some("ECDHE-ECDSA-CHACHA20"),
            None,
        ),
        (
            "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
            Some("ECDHE-RSA-AES128-GCM"),
            None,
        ),
        (
            "-tls1_2 -cipher ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256@SECLEVEL=0",
            None,
            None,
        ),
        ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", None, None),
        ("-tls1_1 -cipher ALL@SECLEVEL=0", None, None),
    ];
    for (offered, first, second) in cases {
        for (balancer, wanted) in [(&intermediate, first), (&modern, second)] {
            let told = handshake(balancer, offered).await;
            match wanted {
                Some(word) => {
                    assert!(
                        told.stdout.contains("Cipher is"),
                        "{offered}: {}",
                        told.stdout
                    );
                    assert!(told.stdout.contains(word), "{offered}: {}", told.stdout);
                }
                None => assert!(
                    told.stdout.contains("Cipher is (NONE)") && told.code() != 0,
                    "{offered}: {}",
                    told.stdout
                ),
            }
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_in_the_next_process() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    let server = WebServer::start("iis1").await;
    let balancer = Balancer::start(&with_tls(&authority, &["ec"], "", &server)).await;
    let session = authority.file("session");
    // Until the answer is there, as the tickets of TLS 1.3 come with it.
    let ask = async |args: &str| {
        let address = balancer.address("shop");
        let line = format!(
            "(printf 'GET / HTTP/1.1\\r\\nHost: shop.test\\r\\nConnection: close\\r\\n\\r\\n') | \
             timeout 20 openssl s_client -connect {address} -servername shop.test -ign_eof {args} 2>&1"
        );
        run("bash", &["-c", &line]).await.stdout
    };
    for version in ["-tls1_3", "-tls1_2"] {
        let first = ask(&format!("{version} -sess_out {session}")).await;
        assert!(
            first.contains("New, ") && first.contains("200 Scripted"),
            "{first}"
        );
        let again = ask(&format!("{version} -sess_in {session}")).await;
        assert!(again.contains("Reused, "), "{again}");
        let worker = balancer.worker();
        balancer.lbctl(&["upgrade"]).await.expect_success("upgrade");
        balancer.replaced(worker).await;
        let later = ask(&format!("{version} -sess_in {session}")).await;
        assert!(
            later.contains("Reused, ") && later.contains("200 Scripted"),
            "{later}"
        );
    }
}

#[tokio::test]
async fn clients_are_sent_to_https_and_kept_there() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    let server = WebServer::answering("iis1", |_| {
        Answer::status(302).field("Location: http://shop.test/next")
    })
    .await;
    let hsts = ", hsts = { include_subdomains = true }";
    let document = with_tls(&authority, &["ec"], hsts, &server)
        + "[virtual_services.plain]\naddress = \"127.0.0.1:0\"\nredirect_to_https = true\n";
    let balancer = Balancer::start(&document).await;
    let port = balancer.address("shop").port();
    let told = curl(&authority, "shop.test", port, "/a", &[])
        .await
        .expect_success("curl");
    assert!(
        told.contains("Strict-Transport-Security: max-age=31536000; includeSubDomains"),
        "{told}"
    );
    assert!(
        told.contains(&format!("Location: https://shop.test:{port}/next")),
        "{told}"
    );
    let head = String::from_utf8_lossy(&server.last_request().head).into_owned();
    assert!(head.contains("X-Forwarded-Proto: https"), "{head}");

    let plain = format!("http://{}/a?b=c", balancer.address("plain"));
    let host = ["-si", "-H", "Host: shop.test:8080"];
    let told = run("curl", &[&host[..], &[&plain]].concat()).await.stdout;
    assert!(
        told.starts_with("HTTP/1.1 301") && told.contains("Location: https://shop.test/a?b=c"),
        "{told}"
    );
    let told = run("curl", &[&host[..], &["-d", "x", &plain]].concat())
        .await
        .stdout;
    assert!(told.starts_with("HTTP/1.1 308"), "{told}");
}

/// What a client may not say of itself.
const FORGED: [&str; 4] = [
    "-H",
    "X-ARR-ClientCert: forged",
    "-H",
    "x-arr-clientcert: again",
];

/// What is in a file of PEM, in one line.
fn base64_of(authority: &Authority, file: &str) -> String {
    let pem = std::fs::read_to_string(authority.path(file)).unwrap();
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

#[tokio::test]
async fn clients_show_certificates_which_servers_see_and_nobody_can_make_up() {
    let authority = Authority::new("Root").await;
    let stranger = Authority::new("Stranger").await;
    for name in ["ec", "anna", "bert"] {
        authority.issue(name, &["shop.test"], "30").await;
    }
    stranger.issue("carl", &["shop.test"], "30").await;
    authority.revoke("bert").await;

    let server = WebServer::start("iis1").await;
    let of_corp = format!(
        "[authorities.corp]\nsource = {{ file = \"{}\" }}\nrevocation_list = \"{}\"\n",
        authority.file("ca.pem"),
        authority.file("revoked.crl")
    );
    for required in [true, false] {
        let asks = format!(
            ", client_certificates = {{ authorities = [\"corp\"], required = {required} }}, \
             headers = {{ x_ssl_client = true, x_ssl_session = true }}"
        );
        let document = with_tls(&authority, &["ec"], &asks, &server) + &of_corp;
        let balancer = Balancer::start(&document).await;
        let port = balancer.address("shop").port();
        let show = async |of: &Authority, name: &str| {
            let file = of.file(&format!("{name}.pem"));
            let key = of.file(&format!("{name}-key.pem"));
            let args = [&["--cert", &file, "--key", &key][..], &FORGED].concat();
            curl(&authority, "shop.test", port, "/", &args).await
        };
        let told = show(&authority, "anna").await.expect_success("anna");
        assert!(told.contains("200 Scripted"), "{told}");
        let head = String::from_utf8_lossy(&server.last_request().head).into_owned();
        let lines = base64_of(&authority, "anna.pem");
        assert!(
            head.contains(&format!("X-ARR-ClientCert: {lines}\r\n")),
            "{head}"
        );
        assert!(
            !head.contains("forged") && !head.contains("again"),
            "{head}"
        );

        server.forget();
        assert_ne!(
            show(&authority, "bert").await.code(),
            0,
            "bert's is revoked"
        );
        assert_ne!(
            show(&stranger, "carl").await.code(),
            0,
            "nobody knows who signed carl's"
        );
        let without = curl(&authority, "shop.test", port, "/", &FORGED).await;
        if required {
            assert_ne!(without.code(), 0, "{without:?}");
            assert_eq!(server.request_count(), 0);
        } else {
            assert!(without.stdout.contains("200 Scripted"), "{without:?}");
            let head = String::from_utf8_lossy(&server.last_request().head).to_lowercase();
            assert!(!head.contains("x-arr-clientcert"), "{head}");
            assert!(head.contains("x-ssl-client-verify: none"), "{head}");
        }
    }
}

/// A web server that speaks TLS with the certificate of this name.
async fn openssl_server(authority: &Authority, name: &str) -> (Process, SocketAddr) {
    let address = free_port();
    let mut server = Process::start(
        Command::new("openssl")
            .args(["s_server", "-www", "-accept", &address.to_string()])
            .args(["-cert", &authority.file(&format!("{name}.pem"))])
            .args(["-key", &authority.file(&format!("{name}-key.pem"))]),
    );
    server.accepts(address).await;
    (server, address)
}

/// An authority with certificates of servers that are good, revoked and over, and the document that
/// names it.
async fn corp() -> (Authority, String) {
    let authority = Authority::new("Corp").await;
    for name in ["good", "revoked"] {
        authority.issue(name, &["iis.corp.test"], "30").await;
    }
    authority
        .issue_at(
            "ended",
            &["iis.corp.test"],
            "20200101000000Z",
            "20200201000000Z",
        )
        .await;
    authority.revoke("revoked").await;
    let document = format!(
        "[authorities.corp]\nsource = {{ file = \"{}\" }}\nrevocation_list = \"{}\"\n",
        authority.file("ca.pem"),
        authority.file("revoked.crl")
    );
    (authority, document)
}

#[tokio::test]
async fn servers_are_spoken_with_over_tls_when_their_certificates_are_right() {
    let (authority, mut document) = corp().await;
    let digest = [
        "x509",
        "-in",
        "good.pem",
        "-noout",
        "-fingerprint",
        "-sha256",
    ];
    let digest = authority.openssl(&digest).await;
    let (_, pin) = digest.trim().split_once('=').unwrap();
    let named = "authorities = [\"corp\"], server_name = \"iis.corp.test\"";
    let other = named.replace("iis", "other");
    let pinned = format!("pins = [\"{pin}\"]");
    let cases = [
        ("checked", "good", named, true),
        ("other-name", "good", &other, false),
        ("system", "good", "server_name = \"iis.corp.test\"", false),
        ("pinned", "good", &pinned, true),
        ("other-pin", "revoked", &pinned, false),
        ("ended", "ended", named, false),
        ("revoked", "revoked", named, false),
        ("insecure", "ended", "insecure = true", true),
    ];
    let mut servers = Vec::new();
    for (name, certificate, tls, _) in &cases {
        let (server, address) = openssl_server(&authority, certificate).await;
        servers.push(server);
        write!(
            document,
            "[virtual_services.{name}]\naddress = \"127.0.0.1:0\"\npool = \"{name}\"\n\
             [pools.{name}]\ntls = {{ {tls} }}\nservers.s = {{ address = \"{address}\" }}\n"
        )
        .unwrap();
    }
    let mut balancer = Balancer::start(&document).await;
    for (name, _, _, good) in &cases {
        let url = format!("http://{}/", balancer.address(name));
        let told = run("curl", &["-si", "--max-time", "20", &url]).await.stdout;
        let (wanted, shown) = if *good {
            ("200", "TLSv1.3")
        } else {
            ("502", "")
        };
        assert!(
            told.starts_with(&format!("HTTP/1.1 {wanted}")),
            "{name}: {told}"
        );
        assert!(told.contains(shown), "{name}: {told}");
    }
    let log = balancer.process().stderr();
    for (pool, reason, mend) in [
        (
            "other-name",
            "`iis.corp.test`, not for `other.corp.test`",
            "tls.server_name",
        ),
        ("system", "none of the authorities", "tls.authorities"),
        ("other-pin", "is none of `pins`", "tls.pins"),
        ("ended", "has expired", "new certificate"),
        ("revoked", "is revoked", "not revoked"),
    ] {
        let pool = format!("pool={pool} ");
        let line = log.lines().find(|line| line.contains(&pool));
        let line = line.unwrap_or_else(|| panic!("nothing of {pool}in {log}"));
        assert!(line.contains(reason) && line.contains(mend), "{line}");
    }
}

#[tokio::test]
async fn tls_is_passed_through_to_the_server_of_its_host() {
    let authority = Authority::new("Root").await;
    let mut servers = Vec::new();
    let mut document =
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\nprotocol = \"tls\"\n".to_owned();
    for (name, host, rule) in [
        ("one", "one.test", "one.test"),
        ("two", "www.two.test", "*.two.test"),
    ] {
        authority.issue(name, &[host], "30").await;
        let (server, address) = openssl_server(&authority, name).await;
        servers.push(server);
        write!(document,
            "[[virtual_services.shop.rules]]\nname = \"{name}\"\nmatch = {{ host = [\"{rule}\"] }}\n\
             action = {{ pool = \"{name}\" }}\n[pools.{name}.servers.s]\naddress = \"{address}\"\n"
        )
        .unwrap();
    }
    let balancer = Balancer::start(&document).await;
    let port = balancer.address("shop").port();
    for host in ["one.test", "www.two.test"] {
        // The certificate of the server is what is checked: nothing was decrypted on the way.
        let told = curl(&authority, host, port, "/", &["--http1.0"]).await;
        assert!(told.stdout.contains("HTTP/1.0 200"), "{host}: {told:?}");
    }
    let told = curl(&authority, "three.test", port, "/", &[]).await;
    assert!(told.code() != 0 && told.stderr.is_empty(), "{told:?}");
    let failed = [("virtual_service", "shop"), ("reason", "unknown_host")];
    let metric = "lb_virtual_service_tls_handshake_failures_total";
    balancer.metric_becomes(metric, &failed, 1.0).await;
    for pool in ["one", "two"] {
        let of = [("pool", pool), ("server", "s")];
        balancer
            .metric_becomes("lb_server_requests_total", &of, 1.0)
            .await;
    }
}
