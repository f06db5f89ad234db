//! Upgraded connections, such as a WebSocket: tunnels with an idle limit of their own.

use std::time::Duration;

use lb_tests::{Balancer, Exchange, Message, WebServer, python, python_server, run_within, shop};

#[tokio::test]
async fn a_websocket_stays_open_while_silent_and_carries_everything() {
    let a = python_server("websocket_echo.py", "a", &[]).await;
    let b = python_server("websocket_echo.py", "b", &[]).await;
    let service = "timeouts = { idle = \"1s\", header = \"1s\" }";
    let pool = "response_timeout = \"1s\"\npersistence = { cookie = {} }";
    let balancer = Balancer::start(&shop(service, pool, &[&a, &b])).await;
    let url = format!("ws://{}/chat", balancer.address("shop"));
    let mut client = python("websocket_client.py");
    let client = client.args([&url, "6"]);
    let report = run_within(Duration::from_mins(1), client)
        .await
        .expect_success("the client");
    assert_eq!(report, "echoed 1006 messages\n");
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Agrees to every upgrade and then sends back what it gets.
async fn tunnel(mut exchange: Exchange) -> std::io::Result<()> {
    exchange.request().await?;
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket";
    // What follows the head at once belongs to the new protocol already.
    exchange.wire.send(format!("{agreed}\r\n\r\nhello")).await?;
    loop {
        let bytes = exchange.wire.some().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        exchange.wire.send(bytes).await?;
    }
}

#[tokio::test]
async fn bytes_right_behind_the_upgrade_are_not_lost() {
    let server = WebServer::scripted("a", tunnel).await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send(UPGRADE).await;
    let agreed = client.response().await;
    assert_eq!(agreed.status(), 101);
    assert_eq!(agreed.value("upgrade").as_deref(), Some("websocket"));
    let upgrade = |message: &Message| {
        message
            .value("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
    };
    assert!(upgrade(&agreed), "{agreed:?}");
    let asked = server.last_request();
    assert_eq!(asked.value("upgrade").as_deref(), Some("websocket"));
    assert!(upgrade(&asked), "{asked:?}");
    assert_eq!(
        client.wire().exactly(5).await.expect("early bytes"),
        b"hello"
    );
    client
        .wire()
        .send("GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("the tunnel is open");
    let echoed = client.wire().exactly(18).await.expect("an echo");
    assert_eq!(
        echoed, b"GET / HTTP/1.1\r\n\r\n",
        "a tunnel has no requests"
    );
}

#[tokio::test]
async fn a_tunnel_that_carries_nothing_ends_after_its_own_time() {
    let server = WebServer::scripted("a", tunnel).await;
    let service = "timeouts = { tunnel = \"700ms\", idle = \"1h\" }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.status(), 101);
    assert_eq!(
        client.wire().exactly(5).await.expect("early bytes"),
        b"hello"
    );
    assert!(client.closes_within(Duration::from_secs(5)).await);
    lb_tests::eventually("the server side ends too", async || {
        (server.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_refuses_the_upgrade_is_answered_as_usual() {
    let server = WebServer::start("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    for _ in 0..2 {
        let refused: Message = {
            client.send(UPGRADE).await;
            client.response().await
        };
        assert_eq!((refused.status(), refused.text().as_str()), (200, "a\n"));
    }
}

#[tokio::test]
async fn nobody_gets_a_connection_that_was_a_tunnel() {
    let server = WebServer::scripted("a", async |mut exchange: Exchange| {
        while let Some(request) = exchange.request().await? {
            if request.value("upgrade").is_some() {
                let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade";
                exchange
                    .wire
                    .send(format!("{agreed}\r\nUpgrade: x\r\n\r\n"))
                    .await?;
                exchange.wire.some().await?;
            }
            let length = exchange.connection.to_string().len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            exchange
                .wire
                .send(format!("{head}{}", exchange.connection))
                .await?;
        }
        Ok(())
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send(UPGRADE).await;
    assert_eq!(client.response().await.status(), 101);
    client.wire().send("x").await.expect("the tunnel is open");
    client.wire().head().await.expect("tunnelled bytes");
    drop(client);
    for _ in 0..10 {
        assert_ne!(balancer.client().await.ask("/", &[]).await.text(), "1");
    }
}
