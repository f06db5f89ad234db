//! What a balancer remembers: revisions over starts, kills, damage and full disks, and the document
//! in its file as it is taken again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lb_tests::{Client, Process, WebServer, eventually, lbctl, shop};
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

/// The line that `lbctl run` prints when it serves.
#[derive(Debug, Deserialize)]
struct Ready {
    virtual_services: BTreeMap<String, SocketAddr>,
    metrics: Option<SocketAddr>,
    revision: u64,
}

/// A state directory and a document, with which balancers start and end.
struct Place {
    folder: TempDir,
}

/// A balancer that runs there.
struct Run {
    process: Process,
    ready: Ready,
}

impl Place {
    fn new(document: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        place.write(document);
        place
    }

    fn write(&self, document: &str) {
        fs::write(self.document(), document).expect("write the document");
    }

    fn document(&self) -> PathBuf {
        self.folder.path().join("lb.toml")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn revision_file(&self, number: u64) -> PathBuf {
        self.state()
            .join(format!("revisions/{number:010}.revision"))
    }

    async fn run(&self) -> Run {
        let mut process = Process::start(
            lbctl()
                .arg("run")
                .arg("--config")
                .arg(self.document())
                .arg("--state-dir")
                .arg(self.state())
                .args(["--output", "json", "--drain-timeout", "1s"]),
        );
        let Some(line) = process.line().await else {
            panic!("it did not start\n{}", process.stderr());
        };
        let ready = serde_json::from_str(&line).expect("the ready line");
        Run { process, ready }
    }
}

impl Run {
    fn address(&self) -> SocketAddr {
        self.ready.virtual_services["shop"]
    }

    async fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.ended(Duration::from_secs(10)).await;
        assert!(status.success(), "{}", self.process.stderr());
    }

    async fn says(&self, words: &str) {
        eventually(&format!("the log says {words:?}"), async || {
            self.process.stderr().contains(words).then_some(())
        })
        .await;
    }
}

/// A document whose answer is the number that it is about.
fn numbered(number: u32) -> String {
    format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\n\
         [[virtual_services.shop.rules]]\nname = \"all\"\n\
         action = {{ respond = {{ status = 200, body = \"{number}\" }} }}\n"
    )
}

async fn answer(address: SocketAddr) -> String {
    let mut client = Client::connect(address).await;
    client.ask("/", &[]).await.text()
}

#[tokio::test]
async fn a_start_goes_on_with_what_was_in_force_and_takes_a_file_that_has_changed() {
    let place = Place::new(&numbered(1));
    let run = place.run().await;
    assert_eq!(run.ready.revision, 1);
    assert_eq!(answer(run.address()).await, "1");
    run.stop().await;

    let run = place.run().await;
    assert_eq!(run.ready.revision, 1, "nothing has changed");
    run.stop().await;

    place.write(&numbered(2));
    let run = place.run().await;
    assert_eq!(run.ready.revision, 2);
    assert_eq!(answer(run.address()).await, "2");
    run.stop().await;

    // Other text, the same document.
    place.write(&format!("# the shop\n{}", numbered(2)));
    let run = place.run().await;
    assert_eq!(run.ready.revision, 2);
    run.stop().await;
    assert!(place.revision_file(1).exists() && place.revision_file(2).exists());
}

#[tokio::test]
async fn a_file_that_is_wrong_or_gone_does_not_stop_a_balancer_that_has_a_history() {
    let place = Place::new(&numbered(1));
    place.run().await.stop().await;
    place.write("[virtual_services.shop]\naddres = 1\n");
    let run = place.run().await;
    assert_eq!(run.ready.revision, 1);
    assert_eq!(answer(run.address()).await, "1");
    let told = run.process.stderr();
    assert!(told.contains("addres"), "what is wrong is told: {told}");
    run.stop().await;
    fs::remove_file(place.document()).expect("take the file away");
    let run = place.run().await;
    assert_eq!(answer(run.address()).await, "1");
    run.says("cannot be read").await;
    run.stop().await;
}

#[tokio::test]
async fn a_damaged_revision_is_named_and_the_one_before_it_is_served() {
    let place = Place::new(&numbered(1));
    place.run().await.stop().await;
    place.write(&numbered(2));
    place.run().await.stop().await;
    let path = place.revision_file(2);
    let whole = fs::read(&path).expect("a revision");
    fs::write(&path, &whole[..whole.len() - 1]).expect("damage it");
    let run = place.run().await;
    assert_eq!(run.ready.revision, 1);
    assert_eq!(answer(run.address()).await, "1");
    run.says("revision 2 cannot be used").await;
    run.stop().await;
    // Put back from a backup, it is in force again.
    fs::write(&path, whole).expect("put it back");
    let run = place.run().await;
    assert_eq!(answer(run.address()).await, "2");
    run.stop().await;
}

#[tokio::test]
async fn a_history_that_is_damaged_as_a_whole_is_refused_with_the_way_back() {
    let place = Place::new(&numbered(1));
    place.run().await.stop().await;
    fs::write(place.revision_file(1), "gone").expect("damage it");
    let mut process = Process::start(
        lbctl()
            .arg("run")
            .arg("--config")
            .arg(place.document())
            .arg("--state-dir")
            .arg(place.state()),
    );
    let status = process.ended(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(1));
    let told = process.stderr();
    assert!(told.contains("help:") && told.contains("backup"), "{told}");
}

#[tokio::test]
async fn a_balancer_that_is_killed_comes_back_with_what_it_had() {
    let place = Place::new(&numbered(1));
    for number in 1..=5 {
        place.write(&numbered(number));
        let mut run = place.run().await;
        assert_eq!(run.ready.revision, u64::from(number));
        run.process.signal(Signal::KILL);
        run.process.ended(Duration::from_secs(10)).await;
    }
    let run = place.run().await;
    assert_eq!(run.ready.revision, 5);
    assert_eq!(answer(run.address()).await, "5");
    run.stop().await;
}

#[tokio::test]
async fn metrics_and_the_access_log_follow_the_document_while_it_serves() {
    let server = WebServer::start("a").await;
    let place = Place::new("");
    let log = |name: &str| place.folder.path().join(name);
    let document = |log: &PathBuf| {
        format!(
            "{}\n[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n\
             access_log = {{ output = {{ file = \"{}\" }} }}\n",
            shop("", "", &[&server]),
            log.display()
        )
    };
    let (first, second) = (log("first.log"), log("second.log"));
    place.write(&document(&first));
    let run = place.run().await;
    let mut kept = Client::connect(run.address()).await;
    assert_eq!(kept.ask("/one", &[]).await.status(), 200);

    let taken = lb_tests::free_port();
    let moved = document(&second).replace(
        "metrics_address = \"127.0.0.1:0\"",
        &format!("metrics_address = \"{taken}\""),
    );
    place.write(&moved);
    run.process.signal(Signal::HUP);
    run.says("revision=2").await;
    assert_eq!(
        kept.ask("/two", &[]).await.status(),
        200,
        "the connection goes on"
    );
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    eventually("the second log has the second request", async || {
        lines(&second).contains("/two").then_some(())
    })
    .await;
    assert!(lines(&first).contains("/one") && !lines(&first).contains("/two"));
    let mut scrape = Client::connect(taken).await;
    let request = "GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n";
    assert_eq!(scrape.send(request).await.response().await.status(), 200);
    let old = run.ready.metrics.expect("an address of metrics");
    eventually("the old address is closed", async || {
        tokio::net::TcpStream::connect(old)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    run.stop().await;
    let run = place.run().await;
    assert_eq!(run.ready.revision, 2);
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_is_read_again_and_is_wrong_changes_nothing() {
    let place = Place::new(&numbered(1));
    let run = place.run().await;
    place.write("pools = 3");
    run.process.signal(Signal::HUP);
    run.says("is not taken").await;
    place.write(&numbered(1));
    run.process.signal(Signal::HUP);
    run.says("is_new=false").await;
    assert_eq!(answer(run.address()).await, "1");
    run.stop().await;
    assert!(!place.revision_file(2).exists());
}

#[tokio::test]
async fn a_change_that_this_machine_cannot_make_is_refused_and_leaves_no_revision() {
    let place = Place::new(&numbered(1));
    let run = place.run().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    place.write(&format!(
        "{}\n[telemetry]\nmetrics_address = \"{address}\"\n",
        numbered(1)
    ));
    run.process.signal(Signal::HUP);
    run.says("is not taken").await;
    assert_eq!(answer(run.address()).await, "1");
    run.stop().await;
    assert!(!place.revision_file(2).exists());
}
