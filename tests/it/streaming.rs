//! Bodies pass as they arrive, of any size, in constant memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lb_tests::{
    Answer, Balancer, Exchange, Message, Process, WebServer, eventually, run_within, shop,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Notify;

const GIB: u64 = 1 << 30;
const PIECE: usize = 1 << 20;

/// The most that the balancer may grow while 10 GiB pass through it.
const GROWTH_MAX: u64 = 20 << 20;

#[tokio::test]
async fn an_event_reaches_the_client_before_the_server_sends_the_next() {
    let seen = Arc::new(Notify::new());
    let gate = Arc::clone(&seen);
    let server = WebServer::scripted("events", move |mut exchange: Exchange| {
        let gate = Arc::clone(&gate);
        async move {
            exchange.request().await?;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
            exchange
                .wire
                .send(format!("{head}Transfer-Encoding: chunked\r\n\r\n"))
                .await?;
            for event in 0..20 {
                let text = format!("data: {event}\n\n");
                exchange
                    .wire
                    .send(format!("{:x}\r\n{text}\r\n", text.len()))
                    .await?;
                gate.notified().await;
            }
            exchange.wire.send("0\r\n\r\n").await
        }
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut curl = Process::start(Command::new("curl").args(["-sN", &balancer.url("/events")]));
    for event in 0..20 {
        assert_eq!(
            curl.line().await.as_deref(),
            Some(format!("data: {event}").as_str())
        );
        assert_eq!(curl.line().await.as_deref(), Some(""));
        seen.notify_one();
    }
    assert_eq!(curl.line().await, None);
}

#[tokio::test]
async fn a_piece_of_an_upload_reaches_the_server_before_the_next_is_sent() {
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let server = WebServer::scripted("upload", move |mut exchange: Exchange| {
        let counter = Arc::clone(&counter);
        async move {
            exchange.wire.head().await?;
            while counter.load(Ordering::SeqCst) < 5 {
                let bytes = exchange.wire.some().await?;
                counter.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            }
            exchange
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await
        }
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n")
        .await;
    for piece in 1..=5 {
        client
            .wire()
            .send("x")
            .await
            .expect("the connection is open");
        eventually("the piece arrives", async || {
            (received.load(Ordering::SeqCst) == piece).then_some(())
        })
        .await;
    }
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_long_poll_holds_up_nobody_else() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let server = WebServer::scripted("poll", move |mut exchange: Exchange| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = exchange.request().await? {
                if request.target() == "/poll" {
                    gate.notified().await;
                }
                exchange
                    .wire
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
            Ok(())
        }
    })
    .await;
    // The client's idle time is between requests; while a server thinks, it is not running.
    let service = "timeouts = { idle = \"200ms\" }";
    let balancer = Balancer::start(&shop(service, "", &[&server])).await;
    let mut polls = Vec::new();
    for _ in 0..20 {
        let mut client = balancer.client().await;
        client
            .send("GET /poll HTTP/1.1\r\nHost: shop\r\n\r\n")
            .await;
        polls.push(client);
    }
    eventually("every poll has reached the server", async || {
        (server.request_count() == 20).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(
            balancer.client().await.ask("/quick", &[]).await.status(),
            200
        );
    }
    // Longer than the idle time, which must not cut them: that is the thing tested.
    tokio::time::sleep(Duration::from_millis(500)).await;
    release.notify_waiters();
    for poll in &mut polls {
        assert_eq!(poll.response().await.status(), 200);
    }
}

/// The most memory a process has while this goes on, beyond what it had before.
async fn growth(balancer: &mut Balancer, load: impl Future<Output = ()>) -> u64 {
    let before = balancer.memory();
    let mut most = before;
    tokio::pin!(load);
    loop {
        tokio::select! {
            () = &mut load => return most.saturating_sub(before),
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                most = most.max(balancer.memory());
            }
        }
    }
}

/// Gives `/down` and takes `/up`, as fast as the machine allows.
async fn bulk(mut exchange: Exchange) -> std::io::Result<()> {
    while let Some(head) = exchange.wire.head().await? {
        let request = Message {
            head,
            ..Message::default()
        };
        if let Some(size) = request.target().strip_prefix("/down/") {
            let size: u64 = size.parse().map_err(std::io::Error::other)?;
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            exchange.wire.send(chunked).await?;
            let mut chunk = format!("{PIECE:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + PIECE, b'x');
            chunk.extend(b"\r\n");
            for _ in 0..size / PIECE as u64 {
                exchange.wire.send(&chunk).await?;
            }
            exchange.wire.send("0\r\n\r\n").await?;
        } else {
            let length = request
                .value("content-length")
                .and_then(|v| v.parse::<u64>().ok());
            let taken = take(&mut exchange, length.unwrap_or(0)).await?.to_string();
            let length = taken.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{taken}");
            exchange.wire.send(answer).await?;
        }
    }
    Ok(())
}

async fn take(exchange: &mut Exchange, length: u64) -> std::io::Result<u64> {
    let mut left = length;
    let mut buffer = vec![0; PIECE];
    left -= exchange.wire.unread().len() as u64;
    let stream = exchange.wire.stream_mut();
    while left > 0 {
        let count = stream.read(&mut buffer).await? as u64;
        if count == 0 {
            break;
        }
        left -= count;
    }
    Ok(length - left)
}

/// A file that is large and takes no place.
fn large_file(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("large");
    let file = std::fs::File::create(&path).expect("create a file");
    file.set_len(size).expect("make it large");
    path
}

async fn curl(args: &[&str]) -> String {
    let shown = ["-s", "--fail", "-w", "%{size_download} %{size_upload}"];
    let mut curl = Command::new("curl");
    let curl = curl.args(shown).args(args);
    run_within(Duration::from_mins(4), curl)
        .await
        .expect_success("curl")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_gibibytes_down_and_up_leave_the_memory_of_the_balancer_flat() {
    let server = WebServer::scripted("bulk", bulk).await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let file = large_file(balancer.folder(), 10 * GIB);
    let file = file.display().to_string();
    // What a first transfer needs is not growth.
    curl(&["-o", "/dev/null", &balancer.url(&format!("/down/{PIECE}"))]).await;

    let url = balancer.url(&format!("/down/{}", 10 * GIB));
    let down = async {
        let report = curl(&["-o", "/dev/null", &url]).await;
        assert_eq!(report, format!("{} 0", 10 * GIB));
    };
    let grown = growth(&mut balancer, down).await;
    assert!(
        grown < GROWTH_MAX,
        "grown by {grown} bytes during the download"
    );

    let url = balancer.url("/up");
    let up = async {
        let report = curl(&["-T", &file, "-H", "Expect:", &url]).await;
        let size = 10 * GIB;
        assert_eq!(report, format!("{size}{} {size}", size.to_string().len()));
    };
    let grown = growth(&mut balancer, up).await;
    assert!(
        grown < GROWTH_MAX,
        "grown by {grown} bytes during the upload"
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_server_and_not_the_memory() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let server = WebServer::scripted("fast", move |mut exchange: Exchange| {
        let counter = Arc::clone(&counter);
        async move {
            exchange.request().await?;
            exchange.wire.send("HTTP/1.1 200 OK\r\n\r\n").await?;
            let piece = vec![b'x'; PIECE];
            loop {
                exchange.wire.stream_mut().write_all(&piece).await?;
                counter.fetch_add(PIECE as u64, Ordering::SeqCst);
            }
        }
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let before = balancer.memory();
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    client.wire().head().await.expect("a response begins");
    let mut last = 0;
    eventually("the server is held up", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = sent.load(Ordering::SeqCst);
        let held = now == last && now > 0;
        last = now;
        held.then_some(())
    })
    .await;
    let grown = balancer.memory().saturating_sub(before);
    assert!(
        grown < GROWTH_MAX,
        "grown by {grown} bytes for one slow client"
    );
}

#[tokio::test]
async fn a_huge_chunked_upload_arrives_whole() {
    let server = WebServer::answering("a", |request| {
        let sum: u64 = request.body.iter().map(|byte| u64::from(*byte)).sum();
        Answer::ok(format!("{} {sum}", request.body.len()))
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let file = balancer.folder().join("upload");
    let bytes: Vec<u8> = (0..30_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&file, &bytes).expect("write the upload");
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    let (file, url) = (file.display().to_string(), balancer.url("/"));
    let args = [
        "-T",
        &file,
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect:",
        &url,
    ];
    let report = curl(&args).await;
    assert!(
        report.starts_with(&format!("{} {sum}", bytes.len())),
        "{report}"
    );
    assert_eq!(server.last_request().value("content-length"), None);
}

#[tokio::test]
async fn only_the_server_grants_a_body_that_the_client_announced() {
    let asked = Arc::new(Notify::new());
    let gate = Arc::clone(&asked);
    let server = WebServer::scripted("a", move |mut exchange: Exchange| {
        let gate = Arc::clone(&gate);
        async move {
            let head = exchange.wire.head().await?.unwrap_or_default();
            let mut request = Message {
                head,
                ..Message::default()
            };
            exchange.record(request.clone());
            gate.notified().await;
            exchange.wire.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
            exchange.wire.body_of_request(&mut request).await?;
            exchange
                .wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
        }
    })
    .await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    let head = "POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(head).await;
    eventually("the head is with the server", async || {
        (server.request_count() == 1).then_some(())
    })
    .await;
    assert_eq!(
        server.last_request().value("expect").as_deref(),
        Some("100-continue")
    );
    asked.notify_one();
    assert_eq!(client.response().await.status(), 100);
    client.send("body").await;
    let answer = client.response().await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[tokio::test]
async fn a_server_may_refuse_an_announced_body_before_it_is_sent() {
    for (status, reason) in [(401, "Unauthorized"), (413, "Content Too Large")] {
        let server = WebServer::scripted("a", move |mut exchange: Exchange| async move {
            exchange.wire.head().await?;
            let close = "Connection: close\r\nContent-Length: 2\r\n\r\nno";
            exchange
                .wire
                .send(format!("HTTP/1.1 {status} {reason}\r\n{close}"))
                .await
        })
        .await;
        let balancer = Balancer::start(&shop("", "", &[&server])).await;
        let file = large_file(balancer.folder(), 10_000_000)
            .display()
            .to_string();
        let url = balancer.url("/");
        let mut curl = Command::new("curl");
        let curl = curl.args([
            "-s",
            "-w",
            " %{http_code} %{size_upload}",
            "-T",
            &file,
            &url,
        ]);
        let curl = curl.args(["-H", "Expect: 100-continue", "--expect100-timeout", "20"]);
        let report = run_within(Duration::from_secs(30), curl)
            .await
            .expect_success("curl");
        assert!(report.contains(&format!("no {status}")), "{report}");
        assert!(
            report.ends_with(" 0"),
            "the body was sent all the same: {report}"
        );
    }
}

#[tokio::test]
async fn ten_megabytes_are_posted_after_a_100() {
    let server = WebServer::start("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let file = large_file(balancer.folder(), 10_000_000)
        .display()
        .to_string();
    let url = balancer.url("/");
    let args = [
        "-sfv",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "20",
    ];
    let mut curl = Command::new("curl");
    let curl = curl
        .args(args)
        .args(["--data-binary", &format!("@{file}"), &url]);
    let finished = run_within(Duration::from_secs(30), curl).await;
    assert!(
        finished.stderr.contains("< HTTP/1.1 100"),
        "{}",
        finished.stderr
    );
    assert_eq!(finished.expect_success("curl"), "a\n");
    assert_eq!(server.last_request().body.len(), 10_000_000);
}
