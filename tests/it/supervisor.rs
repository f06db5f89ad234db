//! The process that serves is replaced, crashes, is orphaned: whoever connects meanwhile is served.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lb_tests::{
    Addressed, Answer, Balancer, Client, DEADLINE, WebServer, eventually, lbctl_path, shop,
};
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How many connect at a time.
const VISITORS: usize = 64;

/// Clients that use a new connection for each request, until told to stop.
struct Visitors {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    tasks: JoinSet<Vec<Failure>>,
}

/// What went wrong for a client.
#[derive(Debug)]
struct Failure {
    began: Instant,
    ended: Instant,
    what: String,
}

impl Visitors {
    fn start(address: SocketAddr) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for _ in 0..VISITORS {
            tasks.spawn(visit(address, Arc::clone(&stop), Arc::clone(&served)));
        }
        Self {
            stop,
            served,
            tasks,
        }
    }

    /// Waits until this many more have been served.
    async fn served(&self, more: usize) {
        let goal = self.served.load(Ordering::SeqCst) + more;
        eventually("visitors are served", async || {
            (self.served.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    async fn failures(self) -> Vec<Failure> {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

async fn visit(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        match visit_once(address).await {
            Ok(()) => {
                served.fetch_add(1, Ordering::SeqCst);
            }
            Err(what) => failures.push(Failure {
                began,
                ended: Instant::now(),
                what,
            }),
        }
    }
    failures
}

async fn visit_once(address: SocketAddr) -> Result<(), String> {
    let stream = TcpStream::connect(address).await;
    let mut stream = stream.map_err(|error| format!("connect: {error}"))?;
    let request = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let sent = stream.write_all(request).await;
    sent.map_err(|error| format!("send: {error}"))?;
    let mut response = Vec::new();
    let read = stream.read_to_end(&mut response).await;
    read.map_err(|error| format!("receive: {error}"))?;
    if response.starts_with(b"HTTP/1.1 200 ") && response.ends_with(b"\r\n\r\na\n") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&response).into_owned())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_upgrades_refuse_and_break_nothing() {
    let server = WebServer::start("a").await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let visitors = Visitors::start(balancer.address("shop"));
    for number in 0..8 {
        visitors.served(500).await;
        let before = balancer.worker();
        if number % 2 == 0 {
            balancer.process().signal(Signal::USR2);
            balancer.replaced(before).await;
        } else {
            let told = balancer.lbctl(&["upgrade", "-o", "json"]).await;
            let told = told.expect_success("lbctl upgrade");
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert_eq!(told["process_before"], before.as_raw_nonzero().get());
            balancer.replaced(before).await;
            assert_eq!(
                told["process"],
                balancer.worker().as_raw_nonzero().get(),
                "the one that serves"
            );
        }
    }
    visitors.served(500).await;
    let failures = visitors.failures().await;
    let failures: Vec<_> = failures.into_iter().map(|failure| failure.what).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_crashes_break_what_was_in_progress_and_nothing_that_comes_after() {
    let server = WebServer::start("a").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let visitors = Visitors::start(balancer.address("shop"));
    let mut crashes = Vec::new();
    for _ in 0..5 {
        visitors.served(500).await;
        let before = balancer.worker();
        kill_process(before, Signal::KILL).unwrap();
        crashes.push(Instant::now());
        balancer.replaced(before).await;
    }
    visitors.served(500).await;
    let failures = visitors.failures().await;
    let begun_before = |failure: &Failure| {
        let mut crashes = crashes.iter();
        crashes.any(|crash| failure.began < *crash && *crash < failure.ended + SIGNAL_TIME)
    };
    let (_lost, after): (Vec<_>, Vec<_>) = failures.into_iter().partition(begun_before);
    let after: Vec<_> = after.into_iter().map(|failure| failure.what).collect();
    assert!(after.is_empty(), "{after:#?}");
}

/// A client may see the end of a process before its killer has returned.
const SIGNAL_TIME: Duration = Duration::from_millis(50);

#[tokio::test]
async fn an_upgrade_to_a_program_that_does_not_start_leaves_the_former_one_serving() {
    let server = WebServer::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("lbctl");
    fs::copy(lbctl_path(), &program).unwrap();
    let document = shop("", "", &[&server]);
    let balancer = Balancer::start_program(&program, &document, &[]).await;
    let before = balancer.worker();
    let broken = folder.path().join("broken");
    fs::copy("/bin/false", &broken).unwrap();
    fs::rename(&broken, &program).unwrap();

    let told = balancer.lbctl(&["upgrade"]).await;
    assert_eq!(told.code(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("exit status: 1"), "{}", told.stderr);
    assert!(told.stderr.contains("help:"), "{}", told.stderr);
    assert_eq!(balancer.worker(), before);
    assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);

    // It can be changed as before, and upgraded when the program is mended.
    let set = ["server", "set", "web/a", "--weight", "7"];
    balancer.lbctl(&set).await.expect_success("a change");
    let mended = folder.path().join("mended");
    fs::copy(lbctl_path(), &mended).unwrap();
    fs::rename(&mended, &program).unwrap();
    balancer.lbctl(&["upgrade"]).await.expect_success("upgrade");
    assert_eq!(weight(&balancer).await, 7);
    assert_eq!(balancer.client().await.ask("/", &[]).await.status(), 200);
}

async fn weight(balancer: &Balancer) -> u64 {
    let get = ["server", "get", "web/a", "-o", "json"];
    let told = balancer.lbctl(&get).await.expect_success("server get");
    let server: serde_json::Value = serde_json::from_str(&told).unwrap();
    server["weight"].as_u64().unwrap()
}

#[tokio::test]
async fn upgrades_and_crashes_go_on_with_what_was_in_force_whatever_the_file_says() {
    let server = WebServer::start("a").await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let set = ["server", "set", "web/a", "--weight", "7"];
    balancer.lbctl(&set).await.expect_success("a change");
    let file = balancer.folder().join("lb.toml");
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace(" }", ", weight = 9 }");
    assert_ne!(edited, text);
    fs::write(&file, edited).unwrap();

    balancer.lbctl(&["upgrade"]).await.expect_success("upgrade");
    assert_eq!(weight(&balancer).await, 7);
    let before = balancer.worker();
    kill_process(before, Signal::KILL).unwrap();
    balancer.replaced(before).await;
    assert_eq!(weight(&balancer).await, 7);
    // Until somebody wants it.
    balancer.process().signal(Signal::HUP);
    eventually("the file is taken", async || {
        (weight(&balancer).await == 9).then_some(())
    })
    .await;
}

/// Each answer names its server, and the first one begins a session.
async fn session_server(name: &'static str) -> WebServer {
    WebServer::answering(name, move |request| {
        let answer = Answer::ok(name);
        if request.value("cookie").is_some() {
            return answer;
        }
        let from = request.value("x-forwarded-for").unwrap_or_default();
        answer.field(format!("Set-Cookie: ASP.NET_SessionId={name}-{from}"))
    })
    .await
}

#[tokio::test]
async fn sessions_that_only_the_balancer_remembers_outlive_an_upgrade() {
    let servers = [
        session_server("a").await,
        session_server("b").await,
        session_server("c").await,
    ];
    let servers: Vec<&dyn Addressed> = servers.iter().map(|s| s as &dyn Addressed).collect();
    let by_cookie = "persistence = { passive_cookie = { name = \"ASP.NET_SessionId\" } }";
    for pool in ["persistence = { source = {} }", by_cookie] {
        let balancer = Balancer::start(&shop("", pool, &servers)).await;
        let address = balancer.address("shop");
        let mut sessions = Vec::new();
        for last in 1..=30 {
            let client = IpAddr::from([127, 0, 0, last]);
            let answer = Client::connect_from(client, address)
                .await
                .ask("/", &[])
                .await;
            let session = answer.value("set-cookie").unwrap();
            sessions.push((client, format!("Cookie: {session}"), answer.text()));
        }
        balancer.lbctl(&["upgrade"]).await.expect_success("upgrade");
        for (client, cookie, server) in sessions {
            let fields = if pool == by_cookie {
                &[cookie.as_str()][..]
            } else {
                &[]
            };
            let answer = Client::connect_from(client, address)
                .await
                .ask("/", fields)
                .await;
            assert_eq!(answer.text(), server, "{client} with {pool}");
        }
        assert!(!balancer.folder().join("state/hand-over").exists());
    }
}

#[tokio::test]
async fn a_request_finishes_on_the_worker_that_began_it() {
    let server = WebServer::answering("slow", |_| {
        Answer::ok("late").after(Duration::from_millis(1500))
    })
    .await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    eventually("the server works on it", async || {
        (server.request_count() == 1).then_some(())
    })
    .await;
    let before = balancer.worker();
    balancer.process().signal(Signal::USR2);
    balancer.replaced(before).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.text().as_str()), (200, "late"));
}

#[tokio::test]
async fn a_worker_whose_supervisor_is_gone_finishes_what_it_has_begun_and_ends() {
    let server = WebServer::answering("slow", |_| {
        Answer::ok("late").after(Duration::from_millis(500))
    })
    .await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = balancer.client().await;
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    eventually("the server works on it", async || {
        (server.request_count() == 1).then_some(())
    })
    .await;
    let worker = balancer.worker();
    balancer.process().kill().await;
    let response = client.response().await;
    assert_eq!((response.status(), response.text().as_str()), (200, "late"));
    let program = format!("/proc/{worker}/exe");
    eventually("the worker ends", async || {
        fs::read_link(&program).is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_signal_to_the_whole_group_drains_once_and_ends_in_order() {
    let server = WebServer::start("a").await;
    let mut balancer = Balancer::start(&shop("", "", &[&server])).await;
    // As Ctrl-C on a terminal does.
    kill_process(balancer.worker(), Signal::INT).unwrap();
    balancer.process().signal(Signal::INT);
    let status = balancer.ended(DEADLINE).await;
    assert!(status.success(), "{status}");
}
