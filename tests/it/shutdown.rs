//! SIGTERM: what is in progress finishes, nothing new begins, nobody sees an error.

use std::sync::Arc;
use std::time::Duration;

use lb_tests::{Answer, Balancer, Exchange, WebServer, eventually, shop};
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[tokio::test]
async fn requests_in_progress_finish_and_the_program_ends_well() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let server = WebServer::scripted("a", move |mut exchange: Exchange| {
        let gate = Arc::clone(&gate);
        async move {
            exchange.request().await?;
            exchange
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                .await?;
            gate.notified().await;
            exchange.wire.send("half").await
        }
    })
    .await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut idle = balancer.client().await;
    let mut working = Vec::new();
    for _ in 0..20 {
        let mut client = balancer.client().await;
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        working.push(client);
    }
    eventually("all are in progress", async || {
        (server.request_count() == 20).then_some(())
    })
    .await;
    let address = balancer.address("shop");
    balancer.terminate();
    eventually("new connections are refused", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    assert!(
        idle.closed().await.is_empty(),
        "an idle connection is closed without a word"
    );
    release.notify_waiters();
    for client in &mut working {
        let response = client.response().await;
        assert_eq!(
            (response.status(), response.text().as_str()),
            (200, "halfhalf")
        );
        assert!(client.closed().await.is_empty());
    }
    assert!(balancer.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test]
async fn a_stop_under_load_fails_no_request() {
    let slow = Duration::from_millis(20);
    let server = WebServer::answering("a", move |_| Answer::ok("ok").after(slow)).await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let address = balancer.address("shop");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..32 {
        clients.spawn(async move {
            let mut answered = 0;
            // Until new connections are refused, which is how a client learns to go elsewhere.
            while let Ok(stream) = TcpStream::connect(address).await {
                let mut wire = lb_tests::Wire::new(stream, Some(Duration::from_secs(10)));
                let request = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
                if wire.send(request).await.is_err() {
                    continue;
                }
                match wire.response("GET").await {
                    Ok(response) => assert_eq!(response.status(), 200),
                    // Accepted by the system and never by the balancer: not one of its requests.
                    Err(_) => break,
                }
                answered += 1;
            }
            answered
        });
    }
    eventually("there is load", async || {
        (server.request_count() > 200).then_some(())
    })
    .await;
    balancer.terminate();
    let answered: usize = clients.join_all().await.into_iter().sum();
    assert!(balancer.ended(Duration::from_secs(10)).await.success());
    assert_eq!(
        answered,
        server.request_count(),
        "every request that reached a server is answered"
    );
}

#[tokio::test]
async fn an_idle_balancer_stops_at_once() {
    let server = WebServer::start("a").await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut kept = balancer.client().await;
    assert_eq!(kept.ask("/", &[]).await.status(), 200);
    balancer.terminate();
    assert!(balancer.ended(Duration::from_secs(3)).await.success());
}
