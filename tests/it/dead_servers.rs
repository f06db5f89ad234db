//! A server dies under load, refuses, or closes: clients notice nothing that can be avoided.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_tests::{
    Addressed, Balancer, Client, Exchange, Message, Nginx, WebServer, run_within, shop,
};
use tokio::process::Command;
use tokio::task::JoinSet;

const QUICK_CHECK: &str = "[pools.web.health_check]\ninterval = \"100ms\"\nrise = 1\nfall = 1";

#[tokio::test]
async fn killing_two_of_four_servers_under_load_fails_no_request() {
    let mut servers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        servers.push(Nginx::start(name).await);
    }
    let named: Vec<&dyn Addressed> = servers.iter().map(|s| s as &dyn Addressed).collect();
    let pool = format!("persistence = {{ cookie = {{}} }}\n{QUICK_CHECK}");
    let balancer = Balancer::start(&shop("", &pool, &named)).await;
    let url = balancer.url("/");
    let load = tokio::spawn(async move {
        let mut wrk = Command::new("wrk");
        let wrk = wrk.args(["-t1", "-c32", "-d6s", "--timeout", "5s", &url]);
        run_within(Duration::from_secs(30), wrk)
            .await
            .expect_success("wrk")
    });
    // The load goes on for six seconds; each event falls into the middle of it.
    for victim in [1, 2] {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        servers[victim].kill().await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        servers[victim].restart().await;
    }
    let report = load.await.expect("wrk ran");
    assert!(report.contains("requests in"), "{report}");
    assert!(!report.contains("Non-2xx"), "{report}");
    assert!(!report.contains("Socket errors"), "{report}");
}

/// Counts a request as arrived when its head has, and answers after its body.
async fn record_heads(mut exchange: Exchange) -> std::io::Result<()> {
    while let Some(head) = exchange.wire.head().await? {
        let mut request = Message {
            head,
            ..Message::default()
        };
        exchange.record(request.clone());
        exchange.wire.body_of_request(&mut request).await?;
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
    }
    Ok(())
}

/// Posts one request after the other, each to a target of its own, and gives their statuses; 0 is
/// for those whose connection broke.
async fn post_until(
    done: Arc<AtomicBool>,
    address: SocketAddr,
    number: usize,
) -> BTreeMap<String, u16> {
    let mut answers = BTreeMap::new();
    let mut client = Client::connect(address).await;
    while !done.load(Ordering::SeqCst) {
        let target = format!("/{number}/{}", answers.len());
        let head = format!("POST {target} HTTP/1.1\r\nHost: shop\r\nContent-Length: 1024\r\n");
        client.send(format!("{head}\r\n{}", "x".repeat(1024))).await;
        let response = client.try_response().await.ok();
        answers.insert(target, response.as_ref().map_or(0, Message::status));
        let kept = response.is_some_and(|r| r.value("connection").is_none_or(|v| v != "close"));
        if !kept {
            client = Client::connect(address).await;
        }
    }
    answers
}

#[tokio::test]
async fn no_post_arrives_twice_when_servers_die_under_load() {
    let mut servers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        servers.push(WebServer::scripted(name, record_heads).await);
    }
    let named: Vec<&dyn Addressed> = servers.iter().map(|s| s as &dyn Addressed).collect();
    let balancer = Balancer::start(&shop("", QUICK_CHECK, &named)).await;
    let address = balancer.address("shop");
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..16 {
        clients.spawn(post_until(Arc::clone(&done), address, number));
    }
    for victim in [0, 3, 1] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        servers[victim].die().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        servers[victim].revive();
    }
    done.store(true, Ordering::SeqCst);
    let answers: BTreeMap<String, u16> = clients.join_all().await.into_iter().flatten().collect();

    let mut arrived = BTreeSet::new();
    for request in servers.iter().flat_map(WebServer::requests) {
        assert!(
            arrived.insert(request.target()),
            "{} arrived twice",
            request.target()
        );
    }
    let lost: Vec<_> = answers
        .iter()
        .filter(|(_, status)| **status != 200)
        .collect();
    for (target, status) in &answers {
        assert!(
            *status != 200 || arrived.contains(target),
            "{target} was answered by nobody"
        );
    }
    assert!(
        answers.len() > 300,
        "{} requests are no load",
        answers.len()
    );
    // At each death, what the 16 clients had in progress on the dead server may be lost, not more.
    assert!(
        lost.len() <= 3 * 16,
        "{} of {} lost: {lost:?}",
        lost.len(),
        answers.len()
    );
}

/// A server on whose port nobody listens.
async fn refusing(name: &str) -> WebServer {
    let mut server = WebServer::start(name).await;
    server.die().await;
    server
}

#[tokio::test]
async fn a_refused_connection_moves_the_request_even_a_post_to_another_server() {
    let (dead, alive) = (refusing("dead").await, WebServer::start("alive").await);
    let pool = "retry_budget_percent = 100\nejection = { connect_failures = 0 }";
    let balancer = Balancer::start(&shop("", pool, &[&dead, &alive])).await;
    let mut client = balancer.client().await;
    for turn in 0..50 {
        let request =
            format!("POST /{turn} HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nbody");
        let response = client.send(request).await.response().await;
        assert_eq!(response.status(), 200, "turn {turn}: {}", response.text());
    }
    assert_eq!(alive.request_count(), 50);
    assert!(
        alive
            .requests()
            .iter()
            .all(|request| request.body == b"body")
    );
}

#[tokio::test]
async fn without_retries_a_refused_connection_is_an_answer_with_a_status() {
    let (dead, alive) = (refusing("dead").await, WebServer::start("alive").await);
    let pool = "retries = 0\nejection = { connect_failures = 0 }";
    let balancer = Balancer::start(&shop("", pool, &[&dead, &alive])).await;
    let mut statuses = BTreeSet::new();
    for _ in 0..40 {
        statuses.insert(balancer.client().await.ask("/", &[]).await.status());
    }
    assert!(
        statuses.contains(&200) && statuses.len() == 2,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|s| matches!(s, 200 | 502 | 503)),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn a_server_that_closes_kept_connections_without_a_word_fails_no_get() {
    let server = WebServer::scripted("abrupt", async |mut exchange| {
        if exchange.request().await?.is_some() {
            exchange
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await?;
        }
        Ok(())
    })
    .await;
    let pool = "retry_budget_percent = 100";
    let balancer = Balancer::start(&shop("", pool, &[&server])).await;
    let mut client = balancer.client().await;
    for turn in 0..200 {
        assert_eq!(client.ask("/", &[]).await.status(), 200, "request {turn}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client_too() {
    let server = WebServer::scripted("abrupt", async |mut exchange| {
        exchange.request().await?;
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
            .await
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    let broken = client.try_response().await;
    assert!(
        broken.is_err(),
        "a cut response must not look whole: {broken:?}"
    );
    assert_eq!(
        server.request_count(),
        1,
        "a response that has begun is not asked for again"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_with_504() {
    let server = WebServer::scripted("mute", async |mut exchange| {
        exchange.request().await?;
        std::future::pending().await
    })
    .await;
    let pool = "response_timeout = \"300ms\"\nretries = 0";
    let balancer = Balancer::start(&shop("", pool, &[&server])).await;
    let response = balancer.client().await.ask("/", &[]).await;
    assert_eq!(response.status(), 504, "{}", response.text());
}

#[tokio::test]
async fn nonsense_from_a_server_is_a_502_and_never_reaches_the_client() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
    ] {
        let server = WebServer::scripted("odd", move |mut exchange| async move {
            exchange.request().await?;
            exchange.wire.send(nonsense).await
        })
        .await;
        let balancer = Balancer::start(&shop("", "retries = 0", &[&server])).await;
        let response = balancer.client().await.ask("/", &[]).await;
        assert_eq!(response.status(), 502, "{nonsense:?}");
    }
}
