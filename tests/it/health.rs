//! Servers that are not well get no traffic, and get it back when they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use lb_tests::{Addressed, Answer, Balancer, WebServer, eventually, shop};

/// A server whose `/health` answers as the test says, and everything else with 200.
async fn patient(name: &str, health: &Arc<AtomicU16>) -> WebServer {
    let health = Arc::clone(health);
    WebServer::answering(name, move |request| match request.target().as_str() {
        "/health" => Answer::status(health.load(Ordering::SeqCst)).body("status: green"),
        _ => Answer::ok("page"),
    })
    .await
}

fn checked(interval: &str, rise: u8, fall: u8, probe: &str) -> String {
    format!(
        "[pools.web.health_check]\ninterval = \"{interval}\"\nrise = {rise}\nfall = {fall}\n\
         [pools.web.health_check.probe.http]\npath = \"/health\"\n{probe}"
    )
}

#[tokio::test]
async fn a_site_that_answers_401_is_well_only_when_the_document_says_so() {
    for (expect, status, up) in [
        ("", 401, false),
        ("expect = [\"200-299\", 401]", 401, true),
        ("expect = [\"200-299\", 401]", 200, true),
        ("expect = [\"200-299\", 401]", 403, false),
        ("expect = [503]", 503, true),
        ("", 302, false),
        ("body = 'status: (green|yellow)'", 200, true),
        ("body = 'status: red'", 200, false),
    ] {
        let a = patient("a", &Arc::new(AtomicU16::new(status))).await;
        let b = patient("b", &Arc::new(AtomicU16::new(200))).await;
        let pool = checked("100ms", 1, 1, expect);
        let balancer = Balancer::start(&shop("", &pool, &[&a, &b])).await;
        if up {
            eventually("some probes have passed", async || {
                (a.request_count() > 2).then_some(())
            })
            .await;
        }
        balancer.server_is_up("web", "a", up).await;
    }
}

#[tokio::test]
async fn as_many_probes_as_configured_take_a_server_out_and_bring_it_back() {
    let health = Arc::new(AtomicU16::new(200));
    let (a, b) = (patient("a", &health).await, WebServer::start("b").await);
    let pool = checked("100ms", 3, 4, "");
    let balancer = Balancer::start(&shop("", &pool, &[&a, &b])).await;
    // A server that no probe has found well yet may go down at its first failure.
    eventually("probes have passed", async || {
        (a.request_count() > 3).then_some(())
    })
    .await;
    balancer.server_is_up("web", "a", true).await;

    a.forget();
    health.store(503, Ordering::SeqCst);
    balancer.server_is_up("web", "a", false).await;
    assert!(
        a.request_count() >= 4,
        "down after {} probes",
        a.request_count()
    );
    for _ in 0..20 {
        let response = balancer.client().await.ask("/", &[]).await;
        assert_eq!(response.value("x-server").as_deref(), Some("b"));
    }

    a.forget();
    health.store(200, Ordering::SeqCst);
    balancer.server_is_up("web", "a", true).await;
    assert!(
        a.request_count() >= 3,
        "up after {} probes",
        a.request_count()
    );
    eventually("it gets traffic again", async || {
        let response = balancer.client().await.ask("/", &[]).await;
        (response.value("x-server").as_deref() == Some("a")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_probe_is_the_request_that_the_document_describes() {
    let a = patient("a", &Arc::new(AtomicU16::new(200))).await;
    let probe = "method = \"HEAD\"\nhost = \"intranet.test\"\nheaders = { X-Probe = \"lb\" }";
    let balancer = Balancer::start(&shop("", &checked("100ms", 1, 1, probe), &[&a])).await;
    eventually("probes arrive", async || {
        (a.request_count() > 1).then_some(())
    })
    .await;
    let request = a.last_request();
    assert_eq!(request.start_line(), "HEAD /health HTTP/1.1");
    assert_eq!(request.values("host"), ["intranet.test"]);
    assert_eq!(request.values("x-probe"), ["lb"]);
    balancer.server_is_up("web", "a", true).await;
}

#[tokio::test]
async fn a_probe_may_go_to_another_port() {
    let (a, agent) = (WebServer::start("a").await, WebServer::start("agent").await);
    let port = agent.address().port();
    let pool =
        format!("health_check = {{ interval = \"100ms\", port = {port}, rise = 1, fall = 1 }}");
    let mut agent = agent;
    let balancer = Balancer::start(&shop("", &pool, &[&a])).await;
    balancer.server_is_up("web", "a", true).await;
    agent.die().await;
    balancer.server_is_up("web", "a", false).await;
    assert_eq!(a.accepted(), 0, "no probe goes to the port of the traffic");
}

#[tokio::test]
async fn a_tcp_probe_finds_a_dead_server_and_one_that_says_the_wrong_thing() {
    let greeting = |text: &'static str| {
        WebServer::scripted("a", move |mut exchange| async move {
            exchange.wire.send(text).await?;
            exchange.wire.rest().await.map(drop)
        })
    };
    let probe = "[pools.web.health_check]\ninterval = \"100ms\"\nrise = 1\nfall = 1\n\
                 probe = { tcp = { expect = '^220 ' } }";
    for (text, up) in [("220 mail ready\r\n", true), ("554 go away\r\n", false)] {
        let mut server = greeting(text).await;
        let balancer = Balancer::start(&shop("", probe, &[&server])).await;
        eventually("probes arrive", async || {
            (server.accepted() > 2).then_some(())
        })
        .await;
        balancer.server_is_up("web", "a", up).await;
        server.die().await;
        balancer.server_is_up("web", "a", false).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_in_its_probe_is_down() {
    let server = WebServer::scripted("a", async |mut exchange| {
        exchange.request().await?;
        std::future::pending().await
    })
    .await;
    let pool = "health_check = { interval = \"100ms\", timeout = \"200ms\", rise = 1, fall = 2, \
                probe = { http = {} } }";
    let balancer = Balancer::start(&shop("", pool, &[&server])).await;
    balancer.server_is_up("web", "a", false).await;
}

/// Who answers how many of these requests, and with which status.
async fn shares(balancer: &Balancer, count: usize) -> BTreeMap<(String, u16), usize> {
    let mut shares = BTreeMap::new();
    let mut client = balancer.client().await;
    for _ in 0..count {
        let response = client.ask("/", &[]).await;
        let server = response.value("x-server").unwrap_or_default();
        *shares.entry((server, response.status())).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn a_server_whose_answers_are_errors_is_out_for_a_while() {
    let sick = Arc::new(AtomicU16::new(500));
    let status = Arc::clone(&sick);
    let a = WebServer::answering("a", move |_| Answer::status(status.load(Ordering::SeqCst))).await;
    let b = WebServer::start("b").await;
    let pool = "ejection = { server_errors = 3, duration = \"1s\" }";
    let balancer = Balancer::start(&shop("", pool, &[&a, &b])).await;
    let first = shares(&balancer, 60).await;
    let errors = first.get(&("a".into(), 500)).copied().unwrap_or_default();
    assert!((3..=12).contains(&errors), "{first:?}");
    balancer.server_is_up("web", "a", false).await;

    sick.store(200, Ordering::SeqCst);
    eventually("it returns after a second", async || {
        shares(&balancer, 4)
            .await
            .contains_key(&("a".into(), 200))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_left_alone_and_the_last_one_never() {
    let (mut a, mut b) = (WebServer::start("a").await, WebServer::start("b").await);
    let pool = "ejection = { connect_failures = 3, duration = \"1h\" }";
    let balancer = Balancer::start(&shop("", pool, &[&a, &b])).await;
    a.die().await;
    for _ in 0..100 {
        assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);
    }
    let failures = [("pool", "web"), ("server", "a")];
    let metrics = balancer.metrics().await;
    let failed = metrics.sum("lb_server_connect_failures_total", &failures);
    assert!(
        (3.0..=12.0).contains(&failed),
        "{failed} attempts at a server that refuses"
    );

    b.die().await;
    for _ in 0..20 {
        let status = balancer.client().await.ask("/", &[]).await.status();
        assert!(matches!(status, 502 | 503), "{status}");
    }
    b.revive();
    eventually("the last server is tried until it is back", async || {
        (balancer.client().await.ask("/", &[]).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_returns_gets_its_share_slowly() {
    let (a, mut b) = (WebServer::start("a").await, WebServer::start("b").await);
    let pool =
        "slow_start = \"4s\"\n[pools.web.health_check]\ninterval = \"100ms\"\nrise = 1\nfall = 1";
    let balancer = Balancer::start(&shop("", pool, &[&a, &b])).await;
    b.die().await;
    balancer.server_is_up("web", "b", false).await;
    b.revive();
    balancer.server_is_up("web", "b", true).await;
    let share = |shares: &BTreeMap<(String, u16), usize>| {
        shares.get(&("b".into(), 200)).copied().unwrap_or_default()
    };
    let early = share(&shares(&balancer, 100).await);
    assert!(early <= 35, "{early} of 100 at once after its return");
    lb_tests::within("it gets its full share", Duration::from_secs(15), async {
        while share(&shares(&balancer, 100).await) < 45 {}
    })
    .await;
}
