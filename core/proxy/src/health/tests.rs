//! What probes find, and what becomes of it.

use std::time::Duration;

use lb_model::config::{
    HealthCheck, HttpProbe, Pool as PoolModel, Server as ServerModel, TcpProbe,
};
use lb_model::value::{Period, ServerAddress, StatusRange, Weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;

use super::*;

mod simulation;

/// A server that answers the first connection with these bytes and closes; what it received.
async fn server(answer: Vec<u8>) -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 65_536];
        let length = stream.read(&mut request).await.unwrap();
        request.truncate(length);
        // The probe may have seen enough before everything is written.
        drop(stream.write_all(&answer).await);
        drop(sender.send(String::from_utf8(request).unwrap()));
    });
    (address, received)
}

/// Probes a server in the open.
async fn probe(model: &Probe, address: SocketAddr) -> Result<String, ProbeFailure> {
    let aim = Aim {
        name: &"iis1".parse().unwrap(),
        address,
        tls: None,
        speak: Speak::Http1,
        until: Instant::now() + Duration::from_secs(20),
    };
    super::probe(model, &aim).await
}

/// What a probe finds at a server that answers so.
async fn find(model: HttpProbe, answer: impl AsRef<[u8]>) -> Result<String, String> {
    let (address, _) = server(answer.as_ref().to_vec()).await;
    let result = probe(&Probe::Http(model), address).await;
    result.map_err(|failure| chain(&failure))
}

fn status(answer: &str) -> String {
    format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n")
}

fn body(pattern: &str) -> HttpProbe {
    HttpProbe {
        body: Some(pattern.parse().unwrap()),
        ..HttpProbe::default()
    }
}

#[tokio::test]
async fn an_expected_status_passes_and_any_other_fails_by_its_number() {
    let anonymous = HttpProbe {
        expect: vec![
            StatusRange::new(200, 299).unwrap(),
            StatusRange::new(401, 401).unwrap(),
        ],
        ..HttpProbe::default()
    };
    let ok = Ok("status 200".to_owned());
    assert_eq!(find(HttpProbe::default(), status("200 OK")).await, ok);
    let windows = find(anonymous, status("401 Unauthorized")).await;
    assert_eq!(windows, Ok("status 401".to_owned()));
    let offline = find(HttpProbe::default(), status("503 Service Unavailable")).await;
    assert_eq!(offline, Err("status 503".to_owned()));
}

#[tokio::test]
async fn interim_responses_are_not_the_answer() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_owned() + &status("404 No");
    let found = find(HttpProbe::default(), answer).await;
    assert_eq!(found, Err("status 404".to_owned()));
}

#[tokio::test]
async fn a_pattern_is_looked_for_however_the_body_is_framed() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall wellGARBAGE".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n4;x=y\r\n wel\r\n1\r\nl\
         \r\n0\r\n\r\n"
            .to_owned(),
        "HTTP/1.0 200 OK\r\n\r\nall well".to_owned(),
    ];
    let found = find(body("^all wel"), &answers[0]).await;
    assert_eq!(found, Ok("status 200".to_owned()));
    let found = find(body("GARBAGE"), &answers[0]).await;
    assert_eq!(found, Err("the body does not match `GARBAGE`".to_owned()));
    for answer in &answers[1..] {
        let found = find(body("^all well$"), answer).await;
        assert_eq!(found, Ok("status 200".to_owned()), "{answer}");
    }
}

#[tokio::test]
async fn only_the_beginning_of_an_endless_body_is_read() {
    let endless = vec![b'x'; 1 << 20];
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let found = find(body("y"), [head, endless.clone()].concat()).await;
    assert_eq!(found, Err("the body does not match `y`".to_owned()));
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    let found = find(body("^x{100}"), [head, endless.clone()].concat()).await;
    assert_eq!(found, Ok("status 200".to_owned()));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_vec();
    let found = find(body("^x{100}"), [head, endless].concat()).await;
    assert_eq!(found, Ok("status 200".to_owned()));
}

#[tokio::test]
async fn nonsense_fails_with_a_reason_and_never_hangs() {
    let cut_short = "the server closed the connection before its answer was complete";
    let answers = [
        (b"".to_vec(), cut_short),
        (b"HTTP/1.1 200 OK\r\nContent-".to_vec(), cut_short),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_vec(),
            cut_short,
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            "the answer is not HTTP: invalid HTTP version",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n".to_vec(),
            "the answer is not HTTP: its Content-Length is not a number",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
            "the answer is not HTTP: its chunks are malformed",
        ),
        (
            [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 17]].concat(),
            "the answer is not HTTP: its head is too long",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n".repeat(5000),
            "the answer is not HTTP: its head is too long",
        ),
    ];
    for (answer, expected) in answers {
        let found = find(body("x"), &answer).await;
        assert_eq!(found, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn a_request_says_what_the_operator_wrote() {
    let model = HttpProbe {
        method: "POST".parse().unwrap(),
        path: "/health?deep=1".parse().unwrap(),
        host: Some("shop.example".parse().unwrap()),
        headers: [
            ("user-agent".parse().unwrap(), "monitor".parse().unwrap()),
            ("X-Probe".parse().unwrap(), "1".parse().unwrap()),
        ]
        .into(),
        ..HttpProbe::default()
    };
    let (address, received) = server(status("200 OK").into()).await;
    probe(&Probe::Http(model), address).await.unwrap();
    let expected = "POST /health?deep=1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\
                    Connection: close\r\nContent-Length: 0\r\nuser-agent: monitor\r\n\
                    X-Probe: 1\r\n\r\n";
    assert_eq!(received.await.unwrap(), expected);

    let (address, received) = server(status("200 OK").into()).await;
    let default = Probe::Http(HttpProbe::default());
    probe(&default, address).await.unwrap();
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUser-Agent: lbctl\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(received.await.unwrap(), expected);
}

#[tokio::test]
async fn an_open_port_passes_and_a_closed_one_fails() {
    let (closed, address) = closed_port();
    let open = Probe::Tcp(TcpProbe::default());
    let failure = probe(&open, address).await.unwrap_err();
    let _listener = closed.listen(16).unwrap();
    assert_eq!(probe(&open, address).await.unwrap(), "connected");
    assert!(
        chain(&failure).starts_with("connect: Connection refused"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_tcp_probe_compares_what_the_server_says() {
    let ping = |expect: &str| {
        Probe::Tcp(TcpProbe {
            send: Some("PING\r\n".to_owned()),
            expect: Some(expect.parse().unwrap()),
        })
    };
    let (address, received) = server(b"+PONG\r\n".to_vec()).await;
    let found = probe(&ping(r"^\+PONG"), address).await.unwrap();
    assert_eq!(found, r"the answer matches `^\+PONG`");
    assert_eq!(received.await.unwrap(), "PING\r\n");

    let (address, _) = server(vec![b'x'; 1 << 20]).await;
    let failure = probe(&ping("y"), address).await.unwrap_err();
    assert_eq!(chain(&failure), "the answer does not match `y`");
}

/// A port that is ours and refuses connections until it listens.
fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A pool with one server at this address.
fn pool(address: SocketAddr, check: HealthCheck) -> Arc<Pool> {
    let mut model = PoolModel {
        health_check: Some(check),
        ..PoolModel::default()
    };
    let server = ServerModel {
        address: address.to_string().parse::<ServerAddress>().unwrap(),
        weight: Weight::default(),
        state: Administrative::Enabled,
        connections_max: None,
    };
    model.servers.insert("a".parse().unwrap(), server);
    Pool::build(&"web".parse().unwrap(), &model, 1, None, None)
}

/// Waits until the probes say so.
async fn until(pool: &Pool, health: Health) {
    let reached = async {
        while pool.servers()[0].health() != health {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), reached).await.unwrap();
}

fn begin(pool: &Arc<Pool>) -> Checks {
    let mut checks = Checks::new();
    checks.take_over(std::slice::from_ref(pool));
    checks
}

fn check() -> HealthCheck {
    HealthCheck {
        interval: "20ms".parse().unwrap(),
        timeout: Period::seconds(5),
        ..HealthCheck::default()
    }
}

#[tokio::test]
async fn a_server_that_dies_goes_down_and_one_that_returns_comes_up() {
    let (closed, address) = closed_port();
    let pool = pool(address, check());
    let _checks = begin(&pool);
    assert_eq!(pool.servers()[0].health(), Health::Unchecked);
    until(&pool, Health::Down).await;
    let status = pool.servers()[0].status(std::time::Instant::now());
    assert!(status.probe.unwrap().contains("refused"));
    let listener = closed.listen(16).unwrap();
    until(&pool, Health::Up).await;
    drop(listener);
    until(&pool, Health::Down).await;
}

#[tokio::test]
async fn a_server_that_accepts_and_stays_silent_fails_by_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = HealthCheck {
        timeout: "50ms".parse().unwrap(),
        probe: Probe::Http(HttpProbe::default()),
        ..check()
    };
    let pool = pool(listener.local_addr().unwrap(), check);
    let _checks = begin(&pool);
    until(&pool, Health::Down).await;
    let status = pool.servers()[0].status(std::time::Instant::now());
    assert_eq!(status.probe.as_deref(), Some("no answer within 50 ms"));
}

#[tokio::test]
async fn a_probe_goes_to_its_own_port_if_it_has_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probed = listener.local_addr().unwrap();
    let check = HealthCheck {
        port: Some(probed.port()),
        ..check()
    };
    let closed = SocketAddr::new(probed.ip(), 1);
    let pool = pool(closed, check);
    let _checks = begin(&pool);
    until(&pool, Health::Up).await;
}

#[test]
fn checks_run_on_a_runtime_of_one_thread() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build_local(LocalOptions::default());
    runtime.unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(listener.local_addr().unwrap(), check());
        let _checks = begin(&pool);
        until(&pool, Health::Up).await;
    });
}

#[tokio::test]
async fn probes_end_with_the_checks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pool = pool(listener.local_addr().unwrap(), check());
    let checks = begin(&pool);
    until(&pool, Health::Up).await;
    drop(checks);
    let released = async {
        while Arc::strong_count(&pool) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), released).await.unwrap();
}
