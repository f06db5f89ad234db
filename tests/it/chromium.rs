//! A real browser: Chromium, which loads a page that tells its server how it was loaded.

use lb_tests::{
    Answer, Authority, Balancer, Process, PythonServer, WebServer, document, eventually, peer_file,
    python_server, run,
};
use serde_json::{Value, json};
use tokio::process::Command;

/// What Chromium needs to run in a container, and to trust one certificate that no authority has issued.
const ALWAYS: [&str; 6] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    // It stays until it is killed.
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP shop.test 127.0.0.1",
];

const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"
http3 = true
tls = { certificates = ["ec"] }

[[virtual_services.shop.rules]]
name = "sockets"
match = { path = { exact = "/socket" } }
action = { pool = "sockets" }

[pools.web.servers]
a = { address = "@a" }

[pools.sockets.servers]
b = { address = "@b" }

[telemetry]
access_log = { output = "stdout" }
"#;

struct Stand {
    balancer: Balancer,
    server: WebServer,
    /// Only held: it echoes while it lives.
    _sockets: PythonServer,
    /// What Chromium trusts.
    key_hash: String,
}

impl Stand {
    async fn new() -> Self {
        let authority = Authority::new("Root").await;
        authority.issue("ec", &["shop.test"], "30").await;
        let page = std::fs::read(peer_file("page.html")).unwrap();
        let server = WebServer::answering("a", move |request| match request.target().as_str() {
            "/" => Answer::ok(page.clone()).field("Content-Type: text/html"),
            "/length" => Answer::ok(request.body.len().to_string()),
            other => Answer::ok(other),
        })
        .await;
        let sockets = python_server("websocket_echo.py", "b", &[]).await;
        let text = format!("{DOCUMENT}{}", authority.certificate("ec"));
        let balancer = Balancer::start(&document(&text, &[&server, &sockets])).await;
        let line = "openssl x509 -pubkey -noout -in \"$0\" | openssl pkey -pubin -outform der \
                    | openssl dgst -sha256 -binary | base64";
        let hash = run("sh", &["-c", line, &authority.file("ec.pem")]).await;
        Self {
            balancer,
            server,
            _sockets: sockets,
            key_hash: hash.expect_success("the hash of the key").trim().to_owned(),
        }
    }

    /// What the page tells in a browser with these further arguments.
    async fn load(&self, more: &[String]) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let port = self.balancer.address("shop").port();
        let mut chromium = Command::new("chromium");
        chromium
            .args(ALWAYS)
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(format!(
                "--ignore-certificate-errors-spki-list={}",
                self.key_hash
            ))
            .args(more)
            .arg(format!("https://shop.test:{port}/"));
        let _browser = Process::start(&mut chromium);
        eventually("the page tells how it was loaded", async || {
            let requests = self.server.requests();
            let result = requests
                .iter()
                .find(|request| request.target() == "/result")?;
            serde_json::from_slice(&result.body).ok()
        })
        .await
    }
}

#[tokio::test]
async fn a_browser_speaks_http_2_and_http_3_and_has_web_sockets() {
    for (protocol, logged) in [("h2", "HTTP/2.0"), ("h3", "HTTP/3.0")] {
        let stand = Stand::new().await;
        let port = stand.balancer.address("shop").port();
        let over_udp = [format!("--origin-to-force-quic-on=shop.test:{port}")];
        let more = if protocol == "h3" { &over_udp[..] } else { &[] };
        let told = stand.load(more).await;
        assert_eq!(told["protocols"], json!([protocol]));
        assert_eq!(told["length"], "1000000");
        assert_eq!(told["socket"], "hello");
        let items: Vec<_> = (0..50).map(|number| format!("/item/{number}")).collect();
        assert_eq!(told["items"], json!(items));
        eventually("the access log names the version", async || {
            let lines = stand.balancer.lines();
            let of = lines.iter().filter(|line| line.contains(logged)).count();
            (of >= 52).then_some(())
        })
        .await;
    }
}
