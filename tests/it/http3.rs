//! HTTP/3 with a real client, aioquic.

use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Authority, Balancer, Http3Client, Nginx, WebServer, eventually, run, shop,
};
use serde_json::{Value, json};

/// What nginx answers on the paths of these tests.
const LOCATIONS: &str = "location /seen { return 200 '$request_method $request_uri $server_protocol $host'; } \
    location /stored/ { dav_methods PUT; create_full_put_path on; }";

/// A service that speaks HTTP/3, in front of a server.
pub(crate) struct Farm {
    authority: Authority,
    pub(crate) balancer: Balancer,
}

impl Farm {
    /// `more`: further keys of the service.
    pub(crate) async fn new(server: &dyn Addressed, more: &str) -> Self {
        let authority = Authority::new("Root").await;
        authority.issue("ec", &["shop.test"], "30").await;
        let balancer = Balancer::start(&Self::document(&authority, server, more)).await;
        Self {
            authority,
            balancer,
        }
    }

    fn document(authority: &Authority, server: &dyn Addressed, more: &str) -> String {
        let service = format!("http3 = true\ntls = {{ certificates = [\"ec\"] }}\n{more}");
        shop(&service, "", &[server])
            + "[telemetry]\nmetrics_address = \"127.0.0.1:0\"\naccess_log = { output = \"stdout\" }\n"
            + &authority.certificate("ec")
    }

    pub(crate) async fn connect(&self) -> Http3Client {
        self.connect_with(&[]).await
    }

    pub(crate) async fn connect_with(&self, options: &[&str]) -> Http3Client {
        let address = self.balancer.address("shop");
        Http3Client::connect(
            &self.authority.file("ca.pem"),
            "shop.test",
            address,
            options,
        )
        .await
    }

    /// What curl is told over TCP, with its header.
    async fn curl(&self, path: &str) -> String {
        let port = self.balancer.address("shop").port();
        let to = format!("shop.test:{port}:127.0.0.1");
        let (root, url) = (
            self.authority.file("ca.pem"),
            format!("https://shop.test:{port}{path}"),
        );
        let args = ["-sS", "-i", "--cacert", &root, "--resolve", &to, &url];
        run("curl", &args).await.expect_success("curl")
    }
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn a_browser_learns_of_it_over_tcp_and_is_served_over_udp() {
    let nginx = Nginx::with("a", LOCATIONS).await;
    let farm = Farm::new(&nginx, "").await;
    let port = farm.balancer.address("shop").port();
    let over_tcp = farm.curl("/seen").await.to_ascii_lowercase();
    let offer = format!("\nalt-svc: h3=\":{port}\"; ma=86400\r");
    assert!(over_tcp.contains(&offer), "{over_tcp}");
    let mut client = farm.connect().await;
    let answer = client.get("/seen?a=b").await;
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["text"], "GET /seen?a=b HTTP/1.1 shop.test");
    assert_eq!(answer["headers"]["alt-svc"], Value::Null, "it knows");
    let missing = client.get("/nothing").await;
    assert_eq!(missing["status"], 404);
    eventually("the access log names the version", async || {
        let log = farm.balancer.lines().concat();
        (log.contains("HTTP/3.0") && log.contains("TLSv1.3")).then_some(())
    })
    .await;
    let metrics = farm.balancer.metrics().await;
    let service = [("virtual_service", "shop")];
    let connections = metrics.sum("lb_virtual_service_connections_total", &service);
    assert!((connections - 2.0).abs() < 0.1, "{connections} connections");
}

#[tokio::test]
async fn large_bodies_arrive_as_they_were_sent() {
    let nginx = Nginx::with("a", LOCATIONS).await;
    let farm = Farm::new(&nginx, "").await;
    let mut client = farm.connect().await;
    let size = 3_000_000;
    let sent = pattern(size);
    for (id, length) in [("chunks", None), ("length", Some(size.to_string()))] {
        let headers: Vec<_> = length
            .iter()
            .map(|l| json!(["content-length", l]))
            .collect();
        client
            .tell(
                json!({ "do": "request", "id": id, "method": "PUT", "path": "/stored/file",
                "headers": headers, "body": size, "pieces": 7 }),
            )
            .await;
        let answer = client.answer(id).await;
        assert!(
            matches!(answer["status"].as_u64(), Some(201 | 204)),
            "{answer}"
        );
        assert!(nginx.stored("file") == sent, "what was uploaded");
    }
    let first = client.get("/stored/file").await;
    assert_eq!(first["length"], size);
    let second = client.get("/stored/file").await;
    assert_eq!(first["sha256"], second["sha256"]);
    let file = farm.balancer.folder().join("sent");
    std::fs::write(&file, &sent).unwrap();
    let sum = run("sha256sum", &[file.to_str().unwrap()]).await;
    let sum = sum.expect_success("sha256sum");
    assert!(sum.starts_with(first["sha256"].as_str().unwrap()), "{sum}");
}

#[tokio::test]
async fn requests_share_a_connection_and_none_waits_for_another() {
    let server = WebServer::answering("a", |request| {
        let delay = if request.target().starts_with("/slow") {
            700
        } else {
            0
        };
        Answer::ok(request.target()).after(Duration::from_millis(delay))
    })
    .await;
    let farm = Farm::new(&server, "").await;
    let mut client = farm.connect().await;
    client
        .tell(json!({ "do": "request", "id": "slow", "path": "/slow" }))
        .await;
    for number in 0..150 {
        let path = format!("/{number}");
        client
            .tell(json!({ "do": "request", "id": path, "path": path }))
            .await;
    }
    for number in 0..150 {
        let path = format!("/{number}");
        assert_eq!(client.answer(&path).await["text"], path);
    }
    assert!(!client.kept().iter().any(|told| told["id"] == "slow"));
    assert_eq!(client.answer("slow").await["text"], "/slow");
}

#[tokio::test]
async fn trailers_and_large_headers_pass_in_both_directions() {
    let server = WebServer::scripted("a", |mut exchange| async move {
        while let Some(request) = exchange.request().await? {
            let large = request.value("x-large").unwrap_or_default().len();
            let seen = format!("got {}", String::from_utf8_lossy(&request.body));
            let fields = format!("X-Back: {}\r\nX-Seen: {large}", "b".repeat(40_000));
            let text = format!(
                "HTTP/1.1 200 OK\r\n{fields}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 {:x}\r\n{seen}\r\n0\r\nX-Sum: 42\r\n\r\n",
                seen.len(),
            );
            exchange.wire.send(text).await?;
        }
        Ok(())
    })
    .await;
    let farm = Farm::new(&server, "").await;
    let mut client = farm.connect().await;
    let large = "t".repeat(65_000);
    client
        .tell(
            json!({ "do": "request", "id": "t", "method": "POST", "path": "/",
            "headers": [["x-large", &large], ["te", "trailers"]], "body": 100,
            "trailers": [["x-own", "7"]] }),
        )
        .await;
    let answer = client.answer("t").await;
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(answer["headers"]["x-seen"], "65000");
    assert_eq!(answer["headers"]["x-back"].as_str().unwrap().len(), 40_000);
    assert_eq!(answer["trailers"]["x-sum"], "42");
    let got = String::from_utf8(server.last_request().trailers).unwrap();
    assert_eq!(got, "x-own: 7\r\n", "the trailer of the client");
    client
        .tell(json!({ "do": "request", "id": "too large", "path": "/",
            "headers": [["x-1", large], ["x-2", large], ["x-3", large]] }))
        .await;
    assert_eq!(client.answer("too large").await["status"], 431);
    assert_eq!(client.get("/after").await["status"], 200);
}

#[tokio::test]
async fn a_certificate_is_replaced_and_an_unknown_host_is_told() {
    let server = WebServer::start("a").await;
    let farm = Farm::new(&server, "").await;
    let address = farm.balancer.address("shop");
    let root = farm.authority.file("ca.pem");
    let mut before = Http3Client::start(&root, "shop.test", address, &[]);
    let first = before.event("connected").await;
    farm.authority.issue("next", &["shop.test"], "20").await;
    let strict = "tls = { certificates = [\"next\"], unknown_host = \"refuse\" }";
    let document = Farm::document(&farm.authority, &server, "")
        .replace("tls = { certificates = [\"ec\"] }", strict)
        .replace("[certificates.ec]", "[certificates.next]")
        .replace("/ec", "/next");
    farm.apply(&document).await;
    let mut after = Http3Client::start(&root, "shop.test", address, &[]);
    let second = after.event("connected").await;
    assert_ne!(first["serial"], second["serial"]);
    assert_eq!(
        before.get("/").await["status"],
        200,
        "the old connection goes on"
    );
    let mut other = Http3Client::start("-", "other.test", address, &[]);
    let closed = other.event("closed").await;
    assert_eq!(closed["code"], 0x100 + 112, "unrecognized_name");
    eventually("the failure is counted", async || {
        let metrics = farm.balancer.metrics().await;
        let labels = [("virtual_service", "shop"), ("reason", "unknown_host")];
        let failures = metrics.sum("lb_virtual_service_tls_handshake_failures_total", &labels);
        ((failures - 1.0).abs() < 0.1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_keeps_its_connection_when_its_address_changes() {
    let server = WebServer::start("a").await;
    let farm = Farm::new(&server, "").await;
    // Whichever worker has it: from another port the kernel would hash it to either.
    for _ in 0..6 {
        let mut client = farm.connect().await;
        assert_eq!(client.get("/before").await["status"], 200);
        for _ in 0..3 {
            client.tell(json!({ "do": "rebind" })).await;
            assert_eq!(client.get("/after").await["status"], 200);
        }
        client.tell(json!({ "do": "close" })).await;
    }
}

#[tokio::test]
async fn windows_authentication_is_sent_to_http_1() {
    let server =
        WebServer::answering("a", |_| Answer::status(401).field("WWW-Authenticate: NTLM")).await;
    let farm = Farm::new(&server, "").await;
    let mut client = farm.connect().await;
    assert_eq!(client.get("/").await["reset"], 0x110);
    client
        .tell(json!({ "do": "request", "id": "own", "path": "/",
            "headers": [["authorization", "Negotiate TlRMTVNTUAABAAAA"]] }))
        .await;
    assert_eq!(client.answer("own").await["reset"], 0x110);
    assert_eq!(server.request_count(), 1, "the second has reached nobody");
}

#[tokio::test]
async fn a_drain_tells_clients_and_serves_what_is_under_way() {
    let server = WebServer::answering("a", |request| {
        let delay = if request.target() == "/slow" { 1500 } else { 0 };
        Answer::ok(vec![7; 300_000]).after(Duration::from_millis(delay))
    })
    .await;
    let mut farm = Farm::new(&server, "").await;
    let mut client = farm.connect().await;
    client
        .tell(json!({ "do": "request", "id": "slow", "path": "/slow" }))
        .await;
    eventually("the server works", async || {
        (server.working() == 1).then_some(())
    })
    .await;
    farm.balancer.terminate();
    assert_eq!(client.event("goaway").await["stream"], (1_u64 << 62) - 4);
    assert_eq!(client.event("goaway").await["stream"], 4);
    client
        .tell(json!({ "do": "request", "id": "late", "path": "/" }))
        .await;
    assert_eq!(
        client.answer("late").await["reset"],
        0x10b,
        "it was rejected"
    );
    let answer = client.answer("slow").await;
    assert_eq!(
        (&answer["status"], &answer["length"]),
        (&json!(200), &json!(300_000))
    );
    assert_eq!(client.event("closed").await["code"], 0x100);
    let status = farm.balancer.ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn an_upgrade_of_the_program_fails_no_request() {
    let server = WebServer::answering("a", |request| {
        let delay = if request.target() == "/slow" { 3000 } else { 0 };
        Answer::ok(vec![7; 200_000]).after(Duration::from_millis(delay))
    })
    .await;
    let farm = Farm::new(&server, "").await;
    let worker = farm.balancer.worker();
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = farm.connect().await;
        client
            .tell(json!({ "do": "request", "id": "slow", "path": "/slow" }))
            .await;
        slow.push(client);
    }
    eventually("the server works", async || {
        (server.working() == 4).then_some(())
    })
    .await;
    farm.balancer
        .lbctl(&["upgrade"])
        .await
        .expect_success("upgrade");
    farm.balancer.replaced(worker).await;
    // The former process has these, and the new one passes on what is for them.
    for client in &mut slow {
        client.event("goaway").await;
    }
    for _ in 0..10 {
        let mut client = farm.connect().await;
        assert_eq!(client.get("/new").await["length"], 200_000);
        client.tell(json!({ "do": "close" })).await;
    }
    for client in &mut slow {
        let answer = client.answer("slow").await;
        assert_eq!(
            (&answer["status"], &answer["length"]),
            (&json!(200), &json!(200_000))
        );
        assert_eq!(client.event("closed").await["code"], 0x100);
    }
}

#[tokio::test]
async fn it_can_be_turned_on_and_off_while_clients_are_there() {
    let server = WebServer::start("a").await;
    let farm = Farm::new(&server, "").await;
    let with = Farm::document(&farm.authority, &server, "");
    let without = with.replace("http3 = true\n", "");
    for _ in 0..3 {
        let mut client = farm.connect().await;
        assert_eq!(client.get("/").await["status"], 200);
        farm.apply(&without).await;
        client.event("goaway").await;
        assert_eq!(client.event("closed").await["code"], 0x100);
        assert!(
            !farm
                .curl("/")
                .await
                .to_ascii_lowercase()
                .contains("alt-svc")
        );
        farm.apply(&with).await;
    }
    let mut client = farm.connect().await;
    assert_eq!(client.get("/").await["status"], 200);
}

impl Farm {
    async fn apply(&self, document: &str) {
        let file = self.balancer.folder().join("next.toml");
        std::fs::write(&file, document).unwrap();
        let file = file.to_str().unwrap();
        self.balancer
            .lbctl(&["apply", file, "--yes"])
            .await
            .expect_success("apply");
    }
}
