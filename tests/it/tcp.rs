//! Any protocol over TCP: bytes pass as they are, in both directions, until both sides are done.

use std::time::Duration;

use lb_tests::{Balancer, Exchange, WebServer, shop, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TCP: &str = "protocol = \"tcp\"";

/// Sends back what it gets, and ends when the other side does.
async fn echo(mut exchange: Exchange) -> std::io::Result<()> {
    loop {
        let bytes = exchange.wire.some().await?;
        if bytes.is_empty() {
            return exchange.wire.finish_sending().await;
        }
        exchange.wire.send(bytes).await?;
    }
}

fn pattern(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent_in_both_directions() {
    let server = WebServer::scripted("echo", echo).await;
    let balancer = Balancer::start(&shop(TCP, "", &[&server])).await;
    let mut client = balancer.client().await;
    let sent = pattern(8_000_000);
    let mut received = vec![0; sent.len()];
    let (mut reader, mut writer) = client.wire().stream_mut().split();
    let both = async {
        tokio::try_join!(writer.write_all(&sent), reader.read_exact(&mut received)).map(drop)
    };
    within("8 MB there and back", Duration::from_secs(30), both)
        .await
        .expect("nothing breaks");
    assert!(sent == received, "the bytes have changed on the way");
}

#[tokio::test]
async fn a_side_that_has_finished_still_hears_the_other() {
    let server = WebServer::scripted("count", async |mut exchange: Exchange| {
        let all = exchange.wire.rest().await?;
        exchange.wire.send(format!("{} bytes", all.len())).await
    })
    .await;
    let balancer = Balancer::start(&shop(TCP, "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send(vec![b'x'; 100_000]).await;
    client
        .wire()
        .finish_sending()
        .await
        .expect("the connection is open");
    assert_eq!(client.closed().await, b"100000 bytes");

    let server = WebServer::scripted("first", async |mut exchange: Exchange| {
        exchange.wire.send("bye").await?;
        exchange.wire.finish_sending().await?;
        let body = exchange.wire.rest().await?;
        exchange.record(lb_tests::Message {
            body,
            ..Default::default()
        });
        Ok(())
    })
    .await;
    let balancer = Balancer::start(&shop(TCP, "", &[&server])).await;
    let mut client = balancer.client().await;
    assert_eq!(client.closed().await, b"bye");
    client.send("still here").await;
    client
        .wire()
        .finish_sending()
        .await
        .expect("this direction is open");
    lb_tests::eventually("the server has it", async || {
        (server.request_count() > 0).then_some(())
    })
    .await;
    assert_eq!(server.last_request().text(), "still here");
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let server = WebServer::scripted("smtp", async |mut exchange: Exchange| {
        exchange.wire.send("220 mail.test ESMTP\r\n").await?;
        echo(exchange).await
    })
    .await;
    let balancer = Balancer::start(&shop(TCP, "", &[&server])).await;
    let mut client = balancer.client().await;
    let greeting = client.wire().exactly(21).await.expect("a greeting");
    assert_eq!(greeting, b"220 mail.test ESMTP\r\n");
    client.send("EHLO me\r\n").await;
    assert_eq!(
        client.wire().exactly(9).await.expect("an echo"),
        b"EHLO me\r\n"
    );
}

#[tokio::test]
async fn a_connection_that_carries_nothing_ends_on_both_sides() {
    let server = WebServer::scripted("echo", echo).await;
    let service = format!("{TCP}\ntimeouts = {{ idle = \"2s\" }}");
    let balancer = Balancer::start(&shop(&service, "", &[&server])).await;
    let mut client = balancer.client().await;
    // Traffic keeps it open for longer than the idle time.
    for _ in 0..5 {
        client.send("tick").await;
        assert_eq!(client.wire().exactly(4).await.expect("an echo"), b"tick");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(client.closes_within(Duration::from_secs(10)).await);
    lb_tests::eventually("the server side ends too", async || {
        (server.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_go_in_turn_and_an_address_stays_when_it_should() {
    let name = |text: &'static str| {
        WebServer::scripted(text, move |mut exchange| async move {
            exchange.wire.send(text).await
        })
    };
    let (a, b) = (name("a").await, name("b").await);
    let balancer = Balancer::start(&shop(TCP, "", &[&a, &b])).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(balancer.client().await.closed().await);
    }
    let of_a = answers.iter().filter(|answer| **answer == b"a").count();
    assert!((8..=12).contains(&of_a), "{of_a} of 20");

    let pool = "persistence = { source = {} }";
    let balancer = Balancer::start(&shop(TCP, pool, &[&a, &b])).await;
    let first = balancer.client().await.closed().await;
    for _ in 0..10 {
        assert_eq!(balancer.client().await.closed().await, first);
    }
}

#[tokio::test]
async fn a_server_that_refuses_is_passed_over_and_nobody_left_closes() {
    let mut dead = WebServer::start("dead").await;
    dead.die().await;
    let mut alive =
        WebServer::scripted("alive", async |mut e: Exchange| e.wire.send("alive").await).await;
    let pool = "retry_budget_percent = 100";
    let balancer = Balancer::start(&shop(TCP, pool, &[&dead, &alive])).await;
    for _ in 0..10 {
        assert_eq!(balancer.client().await.closed().await, b"alive");
    }
    alive.die().await;
    for _ in 0..3 {
        assert!(balancer.client().await.closed().await.is_empty());
    }
}

#[tokio::test]
async fn a_connection_breaks_when_its_server_dies() {
    let mut server = WebServer::scripted("echo", echo).await;
    let balancer = Balancer::start(&shop(TCP, "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send("ping").await;
    assert_eq!(client.wire().exactly(4).await.expect("an echo"), b"ping");
    server.die().await;
    assert!(client.closed().await.is_empty());
}
