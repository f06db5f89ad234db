use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{CONNECTIONS_MAX, Observed, serve};

struct Draining(bool);

impl Observed for Draining {
    fn metrics(&self) -> String {
        "lb_workers 2\n".to_owned()
    }

    fn is_serving(&self) -> bool {
        !self.0
    }
}

async fn start(draining: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(Draining(draining))));
    address
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: balancer\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn prometheus_gets_the_page_with_the_type_it_asks_for() {
    let answer = ask(start(false).await, "GET /metrics?x=1").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nlb_workers 2\n"), "{answer}");
}

#[tokio::test]
async fn a_balancer_in_front_sees_the_drain_before_connections_are_refused() {
    let serving = ask(start(false).await, "GET /health").await;
    assert!(serving.starts_with("HTTP/1.1 200 "), "{serving}");
    let draining = ask(start(true).await, "GET /health").await;
    assert!(draining.starts_with("HTTP/1.1 503 "), "{draining}");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_reading_is_refused() {
    let address = start(false).await;
    let answer = ask(address, "GET /secret").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let answer = ask(address, "POST /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_send_nothing_are_cut_and_others_get_their_turn() {
    let address = start(false).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = ask(address, "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
