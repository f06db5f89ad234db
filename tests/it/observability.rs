//! What an operator sees of the traffic: metrics and access log.

use std::path::Path;

use lb_tests::{Answer, Balancer, WebServer, eventually, shop};
use rustix::process::Signal;
use serde_json::Value;

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The document of a shop that logs to this file.
fn logging(format: &str, path: &Path, server: &WebServer) -> String {
    format!(
        "{}\n[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n\
         access_log = {{ format = \"{format}\", output = {{ file = \"{}\" }} }}\n",
        shop("", "persistence = { cookie = {} }", &[server]),
        path.display()
    )
}

async fn some_errors(name: &str) -> WebServer {
    WebServer::answering(name, |request| match request.target().as_str() {
        "/missing" => Answer::status(404),
        "/broken" => Answer::status(500),
        _ => Answer::ok("hello"),
    })
    .await
}

#[tokio::test]
async fn metrics_count_what_clients_and_servers_saw() {
    let server = some_errors("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    for path in ["/", "/", "/", "/missing", "/broken"] {
        client.ask(path, &[]).await;
    }
    let mut refused = balancer.client().await;
    refused
        .send("GET / HTTP/1.1\r\nHost: shop\r\nbad header\r\n\r\n")
        .await;
    assert_eq!(refused.response().await.status(), 400);

    let shop = ("virtual_service", "shop");
    let server_labels = [("pool", "web"), ("server", "a")];
    let responses = "lb_virtual_service_responses_total";
    for (name, labels, value) in [
        (responses, &[shop, ("code", "2xx")][..], 3.0),
        (responses, &[shop, ("code", "4xx")], 2.0),
        (responses, &[shop, ("code", "5xx")], 1.0),
        ("lb_virtual_service_connections_total", &[shop], 2.0),
        ("lb_virtual_service_refused_requests_total", &[shop], 1.0),
        ("lb_server_requests_total", &server_labels, 5.0),
        ("lb_server_connections_total", &server_labels, 1.0),
        ("lb_server_active_requests", &server_labels, 0.0),
        ("lb_server_up", &server_labels, 1.0),
    ] {
        balancer.metric_becomes(name, labels, value).await;
    }
    drop((client, refused));
    balancer
        .metric_becomes("lb_virtual_service_active_connections", &[shop], 0.0)
        .await;
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads() {
    let server = WebServer::start("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    balancer.client().await.ask("/", &[]).await;
    let metrics = balancer.metrics().await;
    for name in metrics.names() {
        assert!(
            name.starts_with("lb_") || name.starts_with("process_"),
            "{name}"
        );
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| metrics.0.contains(&format!("# TYPE {family} histogram")))
            .unwrap_or(name);
        assert!(
            metrics.0.contains(&format!("# HELP {family} ")),
            "{name} has no help"
        );
        assert!(
            metrics.0.contains(&format!("# TYPE {family} ")),
            "{name} has no type"
        );
    }
    let mut client = lb_tests::Client::connect(balancer.metrics_address()).await;
    client
        .send("GET /else HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(client.response().await.status(), 404);
}

#[tokio::test]
async fn the_json_log_tells_each_request_on_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let server = some_errors("a").await;
    let balancer = Balancer::start(&logging("json", &path, &server)).await;
    let mut client = balancer.client().await;
    client
        .ask(
            "/a?b=1",
            &["User-Agent: \"quoted\" \\ agent", "Referer: http://x/"],
        )
        .await;
    client.ask("/missing", &[]).await;
    eventually("two lines", async || {
        (lines(&path).len() == 2).then_some(())
    })
    .await;
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("one JSON object");
    let [first, second]: [Value; 2] = lines(&path)
        .iter()
        .map(read)
        .collect::<Vec<_>>()
        .try_into()
        .expect("two lines");
    for (key, value) in [
        ("virtual_service", "shop"),
        ("pool", "web"),
        ("server", "a"),
        ("method", "GET"),
        ("target", "/a?b=1"),
        ("version", "HTTP/1.1"),
        ("host", "shop.test"),
        ("referer", "http://x/"),
        ("end", "done"),
    ] {
        assert_eq!(first[key], value, "{key} in {first}");
    }
    assert_eq!(first["status"], 200);
    assert!(
        first["user_agent"]
            .as_str()
            .is_some_and(|a| a.contains("\"quoted\" \\ agent"))
    );
    assert!(
        first["client"]
            .as_str()
            .is_some_and(|c| c.starts_with("127.0.0.1:"))
    );
    assert!(first["bytes_sent"].as_u64() > Some(50) && first["duration_seconds"].is_number());
    assert_eq!(
        (&second["status"], &second["target"]),
        (&404.into(), &"/missing".into())
    );
}

#[tokio::test]
async fn the_combined_log_is_what_log_analysers_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let server = some_errors("a").await;
    let balancer = Balancer::start(&logging("combined", &path, &server)).await;
    balancer
        .client()
        .await
        .ask("/a?b=1", &["User-Agent: curl/8 \"x\""])
        .await;
    eventually("a line", async || (lines(&path).len() == 1).then_some(())).await;
    let line = lines(&path).remove(0);
    let form = r#"^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a\?b=1 HTTP/1\.1" 200 \d+ "-" "curl/8 \\x22x\\x22" shop web a \d+\.\d+$"#;
    assert!(
        regex::Regex::new(form).expect("a pattern").is_match(&line),
        "{line}"
    );
}

#[tokio::test]
async fn a_rotated_log_goes_on_in_a_new_file_and_loses_no_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let server = some_errors("a").await;
    let mut balancer = Balancer::start(&logging("json", &path, &server)).await;
    let mut client = balancer.client().await;
    for _ in 0..10 {
        client.ask("/before", &[]).await;
    }
    eventually("ten lines", async || {
        (lines(&path).len() == 10).then_some(())
    })
    .await;
    std::fs::rename(&path, &rotated).expect("rotate");
    for _ in 0..5 {
        client.ask("/between", &[]).await;
    }
    balancer.process().signal(Signal::USR1);
    eventually("a new file", async || path.exists().then_some(())).await;
    for _ in 0..10 {
        client.ask("/after", &[]).await;
    }
    eventually("no line is lost", async || {
        (lines(&path).len() + lines(&rotated).len() == 25).then_some(())
    })
    .await;
    let before = lines(&rotated)
        .iter()
        .filter(|line| line.contains("/before"))
        .count();
    let after = lines(&path)
        .iter()
        .filter(|line| line.contains("/after"))
        .count();
    assert_eq!((before, after), (10, 10));
}

#[tokio::test]
async fn the_log_can_go_to_the_standard_output() {
    let server = some_errors("a").await;
    let document = format!(
        "{}\n[telemetry]\naccess_log = {{ output = \"stdout\" }}\n",
        shop("", "", &[&server])
    );
    let balancer = Balancer::start(&document).await;
    balancer.client().await.ask("/to-stdout", &[]).await;
    eventually("a line", async || {
        balancer
            .lines()
            .iter()
            .any(|line| line.contains("\"/to-stdout\""))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_a_second_line() {
    let folder = tempfile::tempdir().expect("a folder");
    for format in ["json", "combined"] {
        let path = folder.path().join(format);
        let server = some_errors("a").await;
        let balancer = Balancer::start(&logging(format, &path, &server)).await;
        for request in [
            &b"GET /\x0a127.0.0.1 - - HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"GET /%0a%0d HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x0bb\"\\\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \xff\xfe\"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nReferer: \xe2\x80\xa8\xc3\x28\r\n\r\n",
        ] {
            let mut client = balancer.client().await;
            client.send(request).await;
            client.response().await;
        }
        eventually("four lines", async || {
            (lines(&path).len() >= 4).then_some(())
        })
        .await;
        balancer.terminate();
        assert_eq!(lines(&path).len(), 4, "{:?}", lines(&path));
        if format == "json" {
            for line in lines(&path) {
                serde_json::from_str::<Value>(&line).expect("one JSON object");
            }
        }
    }
}
