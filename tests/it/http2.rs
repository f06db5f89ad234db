//! HTTP/2 with real clients: `curl`, `nghttp`, `h2load` and Python's `h2`.

use std::path::Path;
use std::time::Duration;

use lb_tests::{
    Answer, Authority, Balancer, Nginx, WebServer, document, eventually, python, python_server,
    run, run_within, shop,
};

/// What nginx answers on the paths of these tests.
const LOCATIONS: &str = "location /seen { return 200 '$request_method $request_uri $server_protocol $host'; } \
    location /stored/ { dav_methods PUT; create_full_put_path on; }";

/// A service that speaks TLS and one that does not, in front of nginx; and how both are asked.
struct Farm {
    authority: Authority,
    balancer: Balancer,
    nginx: Nginx,
}

impl Farm {
    async fn new() -> Self {
        let authority = Authority::new("Root").await;
        authority.issue("ec", &["shop.test"], "30").await;
        let nginx = Nginx::with("a", LOCATIONS).await;
        let document = shop("tls = { certificates = [\"ec\"] }", "", &[&nginx])
            + "\n[virtual_services.plain]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n"
            + "[telemetry]\nmetrics_address = \"127.0.0.1:0\"\naccess_log = { output = \"stdout\" }\n"
            + &authority.certificate("ec");
        let balancer = Balancer::start(&document).await;
        Self {
            authority,
            balancer,
            nginx,
        }
    }

    async fn curl(&self, path: &str, args: &[&str]) -> String {
        let port = self.balancer.address("shop").port();
        let to = format!("shop.test:{port}:127.0.0.1");
        let (root, url) = (
            self.authority.file("ca.pem"),
            format!("https://shop.test:{port}{path}"),
        );
        let fixed = [
            "-sS",
            "--max-time",
            "60",
            "--cacert",
            &root,
            "--resolve",
            &to,
        ];
        let all = [&fixed[..], args, &[&url]].concat();
        run("curl", &all).await.expect_success("curl")
    }

    /// The same without TLS, by prior knowledge.
    async fn plain(&self, path: &str, args: &[&str]) -> String {
        let url = format!("http://{}{path}", self.balancer.address("plain"));
        let fixed = ["-sS", "--max-time", "60", "--http2-prior-knowledge"];
        let all = [&fixed[..], args, &[&url]].concat();
        run("curl", &all).await.expect_success("curl")
    }
}

const VERSION: [&str; 2] = ["-w", " %{http_version} %{http_code}"];

#[tokio::test]
async fn curl_speaks_it_with_and_without_tls() {
    let farm = Farm::new().await;
    let secure = farm.curl("/seen?a=b", &VERSION).await;
    assert_eq!(secure, "GET /seen?a=b HTTP/1.1 shop.test 2 200");
    let plain = farm
        .plain("/seen", &[&VERSION[..], &["-X", "DELETE"]].concat())
        .await;
    assert_eq!(plain, "DELETE /seen HTTP/1.1 127.0.0.1 2 200");
    let old = farm
        .curl("/seen", &[&VERSION[..], &["--http1.1"]].concat())
        .await;
    assert_eq!(old, "GET /seen HTTP/1.1 shop.test 1.1 200");
    eventually("the access log names the versions", async || {
        let log = farm.balancer.lines().concat();
        (log.contains("HTTP/2.0") && log.contains("HTTP/1.1")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn large_bodies_arrive_as_they_were_sent() {
    let farm = Farm::new().await;
    let folder = farm.balancer.folder();
    let (sent, got) = (folder.join("sent"), folder.join("got"));
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(&sent, &bytes).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (upload, output) = (format!("@{}", path(&sent)), path(&got));
    for chunked in [false, true] {
        let mut args = vec!["-T", upload.get(1..).unwrap(), "-o", &output];
        if chunked {
            args.extend(["-H", "Content-Length:"]);
        }
        farm.curl("/stored/file", &args).await;
        assert!(farm.nginx.stored("file") == bytes, "what was uploaded");
        farm.curl("/stored/file", &["-o", &output]).await;
        assert!(std::fs::read(&got).unwrap() == bytes, "what was downloaded");
    }
}

#[tokio::test]
async fn thousands_of_streams_share_few_connections_and_none_fails() {
    let farm = Farm::new().await;
    let url = format!("http://{}/seen", farm.balancer.address("plain"));
    let load = ["-n", "20000", "-c", "8", "-m", "50", &url];
    let told = run("h2load", &load).await.expect_success("h2load");
    assert!(
        told.contains("20000 succeeded, 0 failed, 0 errored"),
        "{told}"
    );
    let metrics = farm.balancer.metrics().await;
    let service = [("virtual_service", "plain")];
    let connections = metrics.sum("lb_virtual_service_connections_total", &service);
    assert!((connections - 8.0).abs() < 0.1, "{connections} connections");
    // The first request of a page, and what it names, over one connection.
    let args = ["-ans", &url, &format!("{url}?2"), &format!("{url}?3")];
    let told = run("nghttp", &args).await.expect_success("nghttp");
    assert_eq!(told.matches(" 200 ").count(), 3, "{told}");
}

#[tokio::test]
async fn an_upgrade_of_the_program_fails_no_request_over_it() {
    let farm = Farm::new().await;
    let worker = farm.balancer.worker();
    let port = farm.balancer.address("shop").port();
    let script = format!(
        "for n in $(seq 150); do curl -sS --max-time 20 --cacert {root} \
         --resolve shop.test:{port}:127.0.0.1 -w ' %{{http_version}} %{{http_code}}\\n' \
         https://shop.test:{port}/seen https://shop.test:{port}/seen?2; done",
        root = farm.authority.file("ca.pem"),
    );
    let clients = tokio::spawn(async move { run("bash", &["-c", &script]).await });
    eventually("some have asked", async || {
        let metrics = farm.balancer.metrics().await;
        let service = [("virtual_service", "shop")];
        let asked = metrics.sum("lb_virtual_service_connections_total", &service);
        (asked >= 10.0).then_some(())
    })
    .await;
    farm.balancer
        .lbctl(&["upgrade"])
        .await
        .expect_success("upgrade");
    farm.balancer.replaced(worker).await;
    assert!(
        !clients.is_finished(),
        "the clients have asked during the upgrade"
    );
    let told = clients.await.unwrap().expect_success("the clients");
    assert_eq!(told.matches(" 2 200\n").count(), 300, "{told}");
}

/// Two services with the same rules, of which one speaks TLS.
const WITH_SOCKETS: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"
tls = { certificates = ["ec"] }

[[virtual_services.shop.rules]]
name = "sockets"
match = { path = { exact = "/socket" } }
action = { pool = "sockets" }

[virtual_services.plain]
address = "127.0.0.1:0"
pool = "web"

[[virtual_services.plain.rules]]
name = "sockets"
match = { path = { exact = "/socket" } }
action = { pool = "sockets" }

[pools.web.servers]
a = { address = "@a" }

[pools.sockets.servers]
b = { address = "@b" }
"#;

#[tokio::test]
async fn a_strict_client_finds_nothing_wrong_and_has_web_sockets() {
    let authority = Authority::new("Root").await;
    authority.issue("ec", &["shop.test"], "30").await;
    let server = WebServer::answering("a", |request| match request.target().as_str() {
        "/echo" => Answer::ok(request.body.clone()),
        other => Answer::ok(other),
    })
    .await;
    let sockets = python_server("websocket_echo.py", "b", &[]).await;
    let text = format!("{WITH_SOCKETS}{}", authority.certificate("ec"));
    let balancer = Balancer::start(&document(&text, &[&server, &sockets])).await;
    for (service, trusted) in [("plain", None), ("shop", Some(authority.file("ca.pem")))] {
        let port = balancer.address(service).port().to_string();
        let mut client = python("h2_client.py");
        client.args(["127.0.0.1", &port]).args(trusted);
        let seen = run_within(Duration::from_mins(1), &mut client).await;
        let seen = seen.expect_success("the client");
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let upload = serde_json::json!({ "same": true, "status": "200" });
        assert_eq!(seen["upload"], upload, "{service}");
        let counts = ["many", "messages", "again"].map(|key| seen[key].as_u64());
        assert_eq!(counts, [Some(100), Some(4), Some(100)], "{service}");
    }
    let trailers =
        |request: &lb_tests::Message| String::from_utf8_lossy(&request.trailers) == "x-sum: 7\r\n";
    let requests = server.requests();
    assert_eq!(
        requests.iter().filter(|request| trailers(request)).count(),
        2
    );
}
