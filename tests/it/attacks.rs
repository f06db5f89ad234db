//! Attacks with the tools that attackers use: they are cut within the policy, and others are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lb_tests::{Answer, Authority, Balancer, Finished, WebServer, run, run_within, shop};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// How many connections an attack has at a time.
const CONNECTIONS: &str = "400";
/// How long it lasts at most, in seconds.
const SECONDS: &str = "12";

/// One of the modes of `slowhttptest`, against this address.
async fn attack(mode: &[&str], url: &str) -> Finished {
    let fixed = [
        "-c",
        CONNECTIONS,
        "-r",
        "400",
        "-l",
        SECONDS,
        "-p",
        "3",
        "-u",
        url,
    ];
    let mut command = Command::new("slowhttptest");
    run_within(Duration::from_mins(1), command.args(fixed).args(mode)).await
}

/// Asks as any client does, until told to end: how often, and the longest that it took.
async fn ask_on(url: String, more: Vec<String>, over: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut asked, mut longest) = (0, Duration::ZERO);
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let args = [&["-sS", "--max-time", "20", &url], &more[..]].concat();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let told = run("curl", &args).await;
        told.expect_success("a client that has nothing to do with it");
        longest = longest.max(begun.elapsed());
        asked += 1;
    }
    (asked, longest)
}

/// How many connections a virtual service has open.
async fn open(balancer: &Balancer) -> u64 {
    let told = balancer.lbctl(&["status", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told.expect_success("status")).expect("JSON");
    let open = &told["status"]["virtual_services"]["shop"]["connections_open"];
    open.as_u64().expect("a number")
}

#[tokio::test]
async fn slow_clients_of_all_kinds_are_cut_and_others_are_served() {
    let large = "x".repeat(256 << 10);
    let server = WebServer::answering("a", move |request| match request.target().as_str() {
        "/large" => Answer::ok(large.clone()),
        _ => Answer::ok("small"),
    })
    .await;
    let service = "timeouts = { header = \"2s\", idle = \"2s\", body_rate_min = 1000 }";
    let modes: [(&str, &[&str]); 4] = [
        ("slow headers", &["-H", "-i", "1"]),
        ("slow bodies", &["-B", "-i", "1", "-s", "100000"]),
        ("ranges", &["-R", "-a", "1", "-b", "3000"]),
        (
            "slow reading",
            &["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "1", "-k", "1"],
        ),
    ];
    for (what, mode) in modes {
        // Each with a balancer of its own, so that its figures are those of the attack.
        let balancer = Balancer::start(&shop(service, "", &[&server])).await;
        let url = balancer.url("/");
        let target = balancer.url("/large");
        let over = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(ask_on(url, Vec::new(), Arc::clone(&over)));
        let told = attack(mode, &target).await;
        over.store(true, Ordering::Relaxed);
        let (asked, longest) = asking.await.expect("the other client");
        assert!(asked >= 5, "{what}: {asked}");
        assert!(longest < Duration::from_secs(5), "{what}: {longest:?}");
        let text = told.stdout + &told.stderr;
        // It says so in the end when nobody was answered while it lasted.
        assert!(!text.contains("service available:   NO"), "{what}: {text}");
        lb_tests::eventually(&format!("{what}: nothing of it is left"), async || {
            (open(&balancer).await == 0).then_some(())
        })
        .await;
    }
}

/// A virtual service that speaks TLS, and a client that asks it all the time.
struct Secure {
    authority: Authority,
    balancer: Balancer,
    _server: WebServer,
    over: Arc<AtomicBool>,
}

impl Secure {
    async fn new() -> Self {
        let authority = Authority::new("Root").await;
        authority.issue("ec", &["shop.test"], "30").await;
        let server = WebServer::start("a").await;
        let service = "tls = { certificates = [\"ec\"], policy = \"intermediate\" }\ntimeouts = { header = \"2s\" }";
        let document = shop(service, "", &[&server])
            + "[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n"
            + &authority.certificate("ec");
        Self {
            balancer: Balancer::start(&document).await,
            authority,
            _server: server,
            over: Arc::default(),
        }
    }

    /// Another client, which is served while this works.
    async fn is_served_beside<T>(&self, attack: impl Future<Output = T>) -> T {
        let port = self.balancer.address("shop").port();
        let to = format!("shop.test:{port}:127.0.0.1");
        let root = self.authority.file("ca.pem");
        let more = ["--cacert", &root, "--resolve", &to].map(str::to_owned);
        let url = format!("https://shop.test:{port}/");
        let asking = tokio::spawn(ask_on(url, more.to_vec(), Arc::clone(&self.over)));
        let outcome = attack.await;
        self.over.store(true, Ordering::Relaxed);
        let (asked, longest) = asking.await.expect("the other client");
        assert!(asked >= 5, "{asked}");
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        outcome
    }

    /// The value of a counter of the virtual service.
    async fn counted(&self, metric: &str, more: &[(&str, &str)]) -> f64 {
        let labels = [&[("virtual_service", "shop")], more].concat();
        self.balancer.metrics().await.sum(metric, &labels)
    }
}

#[tokio::test]
async fn handshakes_that_stop_in_the_middle_are_cut_and_others_are_served() {
    let secure = Secure::new().await;
    let address = secure.balancer.address("shop");
    let stop = async {
        let mut held = Vec::new();
        for _ in 0..400 {
            let mut stream = TcpStream::connect(address).await.expect("connect");
            // A record that holds the beginning of a ClientHello, and promises more.
            let begun = [&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3][..], &[7; 60]].concat();
            stream.write_all(&begun).await.expect("write");
            held.push(stream);
        }
        for stream in &mut held {
            let cut = lb_tests::within("the cut", Duration::from_secs(30), async {
                let mut said = Vec::new();
                let _reset = stream.read_to_end(&mut said).await;
                said
            });
            // At most an alert.
            assert!(cut.await.len() <= 7);
        }
    };
    secure.is_served_beside(stop).await;
    let metric = "lb_virtual_service_tls_handshake_failures_total";
    let cut = secure.counted(metric, &[("reason", "timeout")]).await;
    assert!((cut - 400.0).abs() < 0.1, "{cut}");
}

#[tokio::test]
async fn a_flood_of_handshakes_does_not_keep_others_out() {
    let secure = Secure::new().await;
    let address = secure.balancer.address("shop").to_string();
    let flood = async {
        let args = ["s_time", "-connect", &address, "-new", "-time", "4"];
        tokio::join!(
            run("openssl", &args),
            run("openssl", &args),
            run("openssl", &args)
        )
    };
    let (one, _, _) = secure.is_served_beside(flood).await;
    let told = one.expect_success("s_time");
    let made = secure
        .counted("lb_virtual_service_tls_handshakes_total", &[])
        .await;
    assert!(made > 500.0, "that was no flood: {made}\n{told}");
}

#[tokio::test]
async fn nobody_renegotiates() {
    let secure = Secure::new().await;
    let address = secure.balancer.address("shop").to_string();
    let line = "for _ in 1 2 3 4 5 6; do echo R; sleep 0.3; done \
                | openssl s_client -connect \"$0\" -tls1_2 -servername shop.test 2>&1";
    let args = ["-c", line, &address];
    let told = secure.is_served_beside(run("sh", &args)).await.stdout;
    assert!(told.contains("RENEGOTIATING"), "{told}");
    assert!(told.contains("no renegotiation"), "{told}");
    let made = secure
        .counted("lb_virtual_service_tls_handshakes_total", &[])
        .await;
    let of_others = secure
        .counted("lb_virtual_service_responses_total", &[])
        .await;
    assert!(
        (made - of_others - 1.0).abs() < 0.1,
        "{made} handshakes, {of_others} requests"
    );
}

#[tokio::test]
async fn testssl_finds_nothing_worse_than_low() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "90").await;
    authority
        .issue_with("rsa", &["shop.test"], &["-days", "90"], &["rsa:2048"])
        .await;
    let server = WebServer::start("a").await;
    let service = "tls = { certificates = [\"ec\", \"rsa\"], hsts = {} }";
    let document = shop(service, "", &[&server])
        + &authority.certificate("ec")
        + &authority.certificate("rsa");
    let balancer = Balancer::start(&document).await;
    let port = balancer.address("shop").port();
    let file = authority.file("testssl.json");
    let mut command = Command::new("testssl");
    command
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--nodns",
            "none",
        ])
        .args(["--ip", "127.0.0.1", "--add-ca", &authority.file("ca.pem")])
        // Protocols, ciphers, their order, forward secrecy, the server's certificates, headers, and every
        // weakness that it knows.
        .args(["-p", "-s", "-f", "-P", "-S", "-h", "-U"])
        .args(["--jsonfile", &file])
        .arg(format!("https://shop.test:{port}"));
    let told = run_within(Duration::from_mins(5), &mut command).await;
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", told.stdout, told.stderr));
    let found: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let severity = |finding: &Value| finding["severity"].as_str().unwrap_or_default().to_owned();
    let well = found.iter().filter(|f| severity(f) == "OK").count();
    assert!(well > 30, "it has not looked at much: {text}");
    let about_the_test = |finding: &Value| {
        // An authority of the test has no server for revocation, and stands in no list of DNS; the
        // application of the test sets no headers of its own.
        let id = finding["id"].as_str().unwrap_or_default();
        // It closes as soon as the handshake is over, and so may leave before a ticket of TLS 1.3 can
        // reach it; it then finds no session in its file. Tickets are tried in `tls`.
        let too_early = finding["finding"] == "check failed because of connect problem";
        let without_ticket = id == "sessionresumption_ticket" && too_early;
        let known_ids = [
            "cert_revocation",
            "cert_crlDistributionPoints",
            "cert_ocspURL",
            "DNS_CAArecord",
            "security_headers",
            // This machine's openssl, and not the balancer: it may have no module for GOST.
            "engine_problem",
        ];
        without_ticket || known_ids.iter().any(|known| id.starts_with(known))
    };
    let bad: Vec<_> = found
        .iter()
        .filter(|finding| !matches!(severity(finding).as_str(), "OK" | "INFO" | "LOW"))
        .filter(|finding| !about_the_test(finding))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
