//! Slow, greedy and oversized clients get no more than the document allows.

use std::time::{Duration, Instant};

use lb_tests::{Answer, Balancer, Client, WebServer, document, eventually, shop};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_refused() {
    let server = WebServer::start("a").await;
    let service = "timeouts = { header = \"400ms\" }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: sh").await;
    let started = Instant::now();
    let mut answer = String::new();
    // A byte now and then does not help: the time runs from the first byte of the head.
    while started.elapsed() < SOON {
        let piece = tokio::time::timeout(Duration::from_millis(50), client.wire().some()).await;
        match piece {
            Ok(Ok(bytes)) if !bytes.is_empty() => answer += &String::from_utf8_lossy(&bytes),
            Ok(_) => break,
            Err(_) if client.wire().send("x").await.is_err() => break,
            Err(_) => {}
        }
    }
    assert!(started.elapsed() < SOON, "still open after {SOON:?}");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    assert_eq!(server.request_count(), 0);
}

#[tokio::test]
async fn idle_connections_are_closed_without_a_word() {
    let server = WebServer::start("a").await;
    let service = "timeouts = { idle = \"400ms\", header = \"1s\" }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let mut silent = balancer.client().await;
    let mut kept = balancer.client().await;
    for _ in 0..3 {
        assert_eq!(kept.ask("/", &[]).await.status(), 200);
    }
    assert!(kept.closes_within(SOON).await, "idle after a response");
    assert!(silent.closes_within(SOON).await, "idle from the start");
}

#[tokio::test]
async fn bodies_that_crawl_are_cut_in_both_directions() {
    let server = WebServer::scripted("a", async |mut exchange| {
        exchange.request().await?;
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            .await?;
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..95 {
            exchange.wire.send(&piece).await?;
        }
        Ok(())
    })
    .await;
    let service = "timeouts = { body_rate_min = 1000, idle = \"1h\" }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let slow_upload = async {
        let mut client = balancer.client().await;
        client
            .send("POST /up HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\n\r\n")
            .await;
        let crawl = async {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if client.wire().send("x").await.is_err() {
                    break;
                }
                let answer = tokio::time::timeout(Duration::from_millis(1), client.wire().some());
                if let Ok(answer) = answer.await {
                    let text = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
                    assert!(
                        text.is_empty() || text.starts_with("HTTP/1.1 408 "),
                        "{text}"
                    );
                    break;
                }
            }
        };
        lb_tests::within("a crawling upload is cut", Duration::from_secs(30), crawl).await;
    };
    let slow_download = async {
        let mut client = balancer.client().await;
        client
            .send("GET /down HTTP/1.1\r\nHost: shop\r\n\r\n")
            .await;
        client.wire().head().await.expect("the response begins");
        // The client takes nothing more; the balancer gives up the server's connection with it.
        lb_tests::within(
            "a stalled download is cut",
            Duration::from_secs(30),
            async {
                eventually("it began", async || {
                    (server.request_count() > 0).then_some(())
                })
                .await;
                while server.open() > 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        )
        .await;
    };
    tokio::join!(slow_upload, slow_download);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_any_server_sees_it() {
    let server = WebServer::start("a").await;
    let service = "head = { bytes_max = 4096, fields_max = 16, target_bytes_max = 256 }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let long = format!("X-Long: {}", "x".repeat(5000));
    let many: Vec<String> = (0..20).map(|n| format!("X-{n}: {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (path, fields, status) in [
        ("/", vec![long.as_str()], 431),
        ("/", many, 431),
        (format!("/{}", "p".repeat(300)).as_str(), vec![], 414),
        ("/fine", vec![], 200),
    ] {
        let mut client = balancer.client().await;
        let response = client.ask(path, &fields).await;
        assert_eq!(response.status(), status, "{}", response.text());
    }
    assert_eq!(server.request_count(), 1);
}

/// Takes the connections that are being served out of these.
async fn take_served(clients: &mut Vec<Client>) -> Vec<Client> {
    let (mut lucky, mut waiting) = (Vec::new(), Vec::new());
    for mut client in clients.drain(..) {
        let answer = tokio::time::timeout(Duration::from_millis(300), client.try_response()).await;
        match answer {
            Ok(answer) => {
                assert_eq!(answer.expect("a response").status(), 200);
                lucky.push(client);
            }
            Err(_) => waiting.push(client),
        }
    }
    *clients = waiting;
    lucky
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_others_end() {
    let server = WebServer::start("a").await;
    for document in [
        shop("connections_max = 4", "", &[&server]),
        format!(
            "{}\n[limits]\nconnections_max = 4",
            shop("", "", &[&server])
        ),
    ] {
        let balancer = Balancer::start(&document).await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = balancer.client().await;
            client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
            clients.push(client);
        }
        let lucky = take_served(&mut clients).await;
        assert_eq!(lucky.len(), 4, "more or fewer than the limit are served");
        drop(lucky);
        eventually("those who waited are served", async || {
            let lucky = take_served(&mut clients).await;
            (!lucky.is_empty()).then_some(())
        })
        .await;
    }
}

fn working_on(server: &WebServer) -> String {
    format!(
        "a = {{ address = \"{}\", connections_max = 2 }}",
        lb_tests::Addressed::address(server)
    )
}

fn queueing(queue: &str, server: &WebServer) -> String {
    let text = format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n[pools.web]\n{queue}\n\
         [pools.web.servers]\n{}\n",
        working_on(server)
    );
    document(&text, &[])
}

#[tokio::test]
async fn a_server_never_has_more_requests_than_its_limit_and_all_are_answered() {
    let slow = Duration::from_millis(5);
    let server = WebServer::answering("a", move |_| Answer::ok("ok").after(slow)).await;
    let balancer = Balancer::start(&queueing("", &server)).await;
    let address = balancer.address("shop");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..40 {
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..10 {
                assert_eq!(client.ask("/", &[]).await.status(), 200);
            }
        });
    }
    clients.join_all().await;
    assert_eq!(server.request_count(), 400);
    assert_eq!(server.working_max(), 2, "the limit is used, and kept");
}

#[tokio::test]
async fn who_waits_too_long_or_finds_the_queue_full_gets_a_503() {
    let forever = Duration::from_hours(1);
    let server = WebServer::answering("a", move |_| Answer::ok("ok").after(forever)).await;
    let queue = "queue = { length_max = 3, timeout = \"1500ms\" }";
    let balancer = Balancer::start(&queueing(queue, &server)).await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let mut client = balancer.client().await;
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        waiting.push(client);
        if number == 1 {
            eventually("two are being served", async || {
                (server.working() == 2).then_some(())
            })
            .await;
        }
    }
    balancer
        .metric_becomes("lb_pool_queued_requests", &[("pool", "web")], 3.0)
        .await;
    let started = Instant::now();
    let mut sixth = balancer.client().await;
    assert_eq!(sixth.ask("/", &[]).await.status(), 503, "the queue is full");
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "a full queue refuses at once"
    );
    for client in &mut waiting[2..] {
        assert_eq!(
            client.response().await.status(),
            503,
            "it has waited long enough"
        );
    }
    assert_eq!(server.request_count(), 2);
}
