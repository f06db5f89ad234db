//! HTTP/2 with real servers: gRPC, `nghttpd`, and those that speak HTTP/1.1 alone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use lb_tests::{
    Addressed as _, Authority, Balancer, Process, Stand, free_port, python, python_server, run,
    run_within, shop,
};
use tokio::process::Command;

async fn grpc(address: SocketAddr, args: &[&str]) -> String {
    let mut command = python("grpc_client.py");
    command.arg(address.to_string()).args(args);
    let finished = run_within(Duration::from_mins(1), &mut command).await;
    finished.expect_success("the gRPC client")
}

/// What the API says of all pools.
async fn status(balancer: &Balancer) -> String {
    let told = balancer.lbctl(&["status", "-o", "json"]).await;
    told.expect_success("status")
}

/// What the client of these tests prints when everything went well.
const ALL: [&str; 11] = [
    "a unary call",
    "its trailers",
    "five megabytes there and back",
    "a stream of answers",
    "a stream of requests",
    "a conversation",
    "a failure",
    "its message",
    "an unknown service",
    "a deadline",
    "500 calls at once",
];

#[tokio::test]
async fn every_kind_of_grpc_call_works_with_and_without_tls() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    let open = python_server("grpc_server.py", "open", &[]).await;
    let (certificate, key) = (authority.file("ec.pem"), authority.file("ec-key.pem"));
    let secure = python_server("grpc_server.py", "secure", &[&certificate, &key]).await;
    let document = shop("", "http2 = \"always\"", &[&open])
        + &format!(
            "[virtual_services.tls]\naddress = \"127.0.0.1:0\"\npool = \"tls\"\n\
             tls = {{ certificates = [\"ec\"] }}\n\
             [pools.tls]\nhttp2 = \"always\"\nservers.s = {{ address = \"{}\" }}\n\
             tls = {{ authorities = [\"root\"], server_name = \"shop.test\" }}\n\
             [authorities.root]\nsource = {{ file = \"{}\" }}\n",
            secure.address(),
            authority.file("ca.pem")
        )
        + &authority.certificate("ec");
    let balancer = Balancer::start(&document).await;
    let told = grpc(balancer.address("shop"), &["all"]).await;
    assert_eq!(told.lines().collect::<Vec<_>>(), ALL);
    let told = grpc(balancer.address("tls"), &["all", &authority.file("ca.pem")]).await;
    assert_eq!(told.lines().collect::<Vec<_>>(), ALL);
}

#[tokio::test]
async fn a_server_is_up_while_its_grpc_service_says_that_it_serves() {
    let server = python_server("grpc_server.py", "a", &[]).await;
    let probe = |service: &str| {
        format!(
            "http2 = \"always\"\n\
             health_check = {{ interval = \"100ms\", timeout = \"100ms\", rise = 1, fall = 1, \
             probe = {{ grpc = {{ {service} }} }} }}"
        )
    };
    let document = shop("", &probe("service = \"shop\""), &[&server])
        + &format!(
            "[pools.other]\n{}\nservers.s = {{ address = \"{}\" }}\n\
             [virtual_services.other]\naddress = \"127.0.0.1:0\"\npool = \"other\"\n",
            probe("service = \"nobody\""),
            server.address()
        );
    let balancer = Balancer::start(&document).await;
    let direct = server.address();
    for state in ["SERVING", "NOT_SERVING", "SERVING"] {
        grpc(direct, &["call", "Serve", state]).await;
        balancer.server_is_up("web", "a", state == "SERVING").await;
    }
    balancer.server_is_up("other", "s", false).await;
    let told = status(&balancer).await;
    assert!(
        told.contains("NOT_FOUND: the service is not known"),
        "{told}"
    );
}

#[tokio::test]
async fn servers_that_do_not_agree_to_http2_get_http11_where_it_is_only_offered() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    let (certificate, key) = (authority.file("ec.pem"), authority.file("ec-key.pem"));
    let (both, old) = (free_port(), free_port());
    std::fs::write(authority.path("index.html"), "from nghttpd").expect("write a page");
    let mut nghttpd = Process::start(
        Command::new("nghttpd")
            .args(["--address=127.0.0.1", "-d"])
            .arg(authority.folder())
            .args([&both.port().to_string(), &key, &certificate]),
    );
    nghttpd.accepts(both).await;
    let mut openssl = Process::start(
        Command::new("openssl")
            .args(["s_server", "-www", "-accept", &old.to_string()])
            .args(["-cert", &certificate, "-key", &key]),
    );
    openssl.accepts(old).await;
    let mut document = format!(
        "[authorities.root]\nsource = {{ file = \"{}\" }}\n",
        authority.file("ca.pem")
    );
    for (name, http2, address) in [
        ("new", "offered", both),
        ("old", "offered", old),
        ("never", "never", old),
        ("must", "always", old),
    ] {
        write!(
            document,
            "[virtual_services.{name}]\naddress = \"127.0.0.1:0\"\npool = \"{name}\"\n\
             [pools.{name}]\nhttp2 = \"{http2}\"\nservers.s = {{ address = \"{address}\" }}\n\
             tls = {{ authorities = [\"root\"], server_name = \"shop.test\" }}\n"
        )
        .unwrap();
    }
    let mut balancer = Balancer::start(&document).await;
    for (name, wanted) in [
        ("new", "HTTP/1.1 200"),
        ("old", "HTTP/1.1 200"),
        ("never", "HTTP/1.1 200"),
        ("must", "HTTP/1.1 502"),
    ] {
        let url = format!("http://{}/", balancer.address(name));
        for _ in 0..2 {
            let told = run("curl", &["-si", "--max-time", "20", &url]).await.stdout;
            assert!(told.starts_with(wanted), "{name}: {told}");
            assert_eq!(
                told.contains("from nghttpd"),
                name == "new",
                "{name}: {told}"
            );
        }
    }
    let log = balancer.process().stderr();
    let line = log.lines().find(|line| line.contains("pool=must "));
    let line = line.unwrap_or_else(|| panic!("nothing of the pool in {log}"));
    assert!(line.contains("does not agree to speak HTTP/2"), "{line}");
    assert!(
        line.contains("http2 = \\\"offered\\\"") || line.contains("http2 = \"offered\""),
        "{line}"
    );
}

#[tokio::test]
async fn thousands_of_requests_share_a_few_connections() {
    let server = free_port();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), "hello").expect("write a page");
    let mut nghttpd = Process::start(
        Command::new("nghttpd")
            .args(["--no-tls", "--address=127.0.0.1", "-d"])
            .arg(folder.path())
            .arg(server.port().to_string()),
    );
    nghttpd.accepts(server).await;
    let document = shop("", "http2 = \"always\"", &[&Stand("a", server)]);
    let balancer = Balancer::start(&document).await;
    let url = format!("http://{}/", balancer.address("shop"));
    for args in [&["-m", "32"][..], &["--h1"]] {
        let fixed = ["-n", "20000", "-c", "16", &url];
        let told = run("h2load", &[args, &fixed].concat()).await;
        let told = told.expect_success("h2load");
        assert!(
            told.contains("20000 succeeded, 0 failed, 0 errored"),
            "{told}"
        );
    }
    let told: serde_json::Value = serde_json::from_str(&status(&balancer).await).expect("JSON");
    let seen = &told["status"]["pools"]["web"]["servers"]["a"];
    assert_eq!(seen["requests"], 40_000, "{seen}");
    // A core may open one for each hundred requests at a time, and none after that.
    assert!(
        seen["connections"].as_u64().is_some_and(|n| n <= 12),
        "{seen}"
    );
}

#[tokio::test]
async fn a_strict_server_finds_no_fault() {
    let mut server = python_server("h2_server.py", "a", &[]).await;
    let document = shop("", "http2 = \"always\"", &[&server]);
    let balancer = Balancer::start(&document).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("body");
    std::fs::write(&file, "x".repeat(300_000)).expect("write a body");
    let body = format!("@{}", file.display());
    let large = format!("X-Large: {}", "y".repeat(40_000));
    let cases: [(&[&str], &[&str]); 5] = [
        (
            &[],
            &[
                ":method=GET",
                ":path=/a?b=c",
                ":scheme=http",
                ":authority=shop.test",
                "0 bytes",
            ],
        ),
        (
            &["-d", &body],
            &[":method=POST", "content-length=300000", "300000 bytes"],
        ),
        (
            &["-d", &body, "-H", "Transfer-Encoding: chunked"],
            &["300000 bytes"],
        ),
        (&["-H", &large], &["0 bytes"]),
        (&["-X", "OPTIONS", "--request-target", "*"], &[":path=*"]),
    ];
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (args, wanted) in cases {
            let url = format!("http://{}/a?b=c", balancer.address("shop"));
            let fixed = [
                "-sSi",
                "--max-time",
                "20",
                version,
                "-H",
                "Host: shop.test",
                &url,
            ];
            let told = run("curl", &[&fixed[..], args].concat()).await;
            let told = told.expect_success("curl");
            assert!(told.contains("x-own: h2"), "{version} {args:?}: {told}");
            for line in wanted {
                assert!(told.contains(line), "{version} {line}: {told}");
            }
            assert!(!told.contains("transfer-encoding="), "{told}");
        }
    }
    drop(balancer);
    server.process().kill().await;
    assert_eq!(
        server.process().line().await,
        None,
        "the server has found a fault"
    );
}
