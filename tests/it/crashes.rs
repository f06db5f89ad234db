//! Power cuts and full disks while changes are made: what comes back is what was, or what was to be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_tests::{Api, Client, DEADLINE, Process, kill_tree, lbctl, note, run, within};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How often the balancers are killed, by how many tests at a time.
const KILLS: u64 = 100;
const LANES: u64 = 4;

/// The line that `lbctl run` prints when it serves.
#[derive(Debug, Deserialize)]
struct Ready {
    virtual_services: BTreeMap<String, SocketAddr>,
    revision: u64,
    process: i32,
}

/// A document that says a number in places that lie far apart, so that a mix of two would show.
fn numbered(number: u64) -> Value {
    let service = |rules: usize| {
        let rule = |rule: usize| {
            json!({
                "name": format!("r{rule}"),
                "match": { "path": { "exact": format!("/{rule}") } },
                "action": { "respond": { "status": 200, "body": number.to_string() } },
            })
        };
        json!({ "address": "127.0.0.1:0", "rules": (0..rules).map(rule).collect::<Vec<_>>() })
    };
    json!({
        "virtual_services": { "first": service(2), "last": service(40) },
        "pools": { "web": { "description": number.to_string() } },
    })
}

/// The number that a document says everywhere.
fn number_in(document: &Value) -> u64 {
    let said = document["pools"]["web"]["description"].as_str();
    let number = said.and_then(|text| text.parse().ok());
    let number = number.unwrap_or_else(|| panic!("no number in {document}"));
    let mut whole = numbered(number);
    // What is left out has its default either way.
    for service in ["first", "last"] {
        let rules = &document["virtual_services"][service]["rules"];
        let found = rules.as_array().expect("rules");
        let wanted = whole["virtual_services"][service]["rules"].take();
        let wanted = wanted.as_array().expect("rules");
        assert_eq!(found.len(), wanted.len(), "{service} of {number}");
        for (found, wanted) in found.iter().zip(wanted) {
            let body = |rule: &Value| rule["action"]["respond"]["body"].clone();
            assert_eq!(body(found), body(wanted), "a mix in {service}: {document}");
        }
    }
    number
}

/// A balancer that is killed again and again.
struct Victim {
    folder: TempDir,
    /// The last number that was sent, and the last whose answer was good.
    sent: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    /// Whether no further changes are sent.
    quiet: Arc<AtomicBool>,
}

impl Victim {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let first = numbered(1).to_string();
        std::fs::write(folder.path().join("lb.json"), first).expect("write the document");
        Self {
            folder,
            sent: Arc::new(AtomicU64::new(1)),
            acknowledged: Arc::new(AtomicU64::new(1)),
            quiet: Arc::default(),
        }
    }

    fn start(&self) -> Process {
        Process::start(
            lbctl()
                .arg("run")
                .arg("--config")
                .arg(self.folder.path().join("lb.json"))
                .arg("--state-dir")
                .arg(self.folder.path().join("state"))
                .args(["--output", "json"]),
        )
    }

    fn api(&self) -> Api {
        Api::at(self.folder.path().join("state/admin.sock"))
    }

    /// Sends one document after the other until one gets no good answer. What is sent while a worker
    /// is missing waits for the next one.
    fn change(&self) -> JoinHandle<()> {
        self.quiet.store(false, Ordering::SeqCst);
        let quiet = Arc::clone(&self.quiet);
        let (sent, acknowledged) = (Arc::clone(&self.sent), Arc::clone(&self.acknowledged));
        tokio::spawn(Self::send(self.api(), quiet, sent, acknowledged))
    }

    /// Waits until another number than this was answered.
    async fn changes_after(&self, number: u64) {
        while self.acknowledged.load(Ordering::SeqCst) == number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn send(
        api: Api,
        quiet: Arc<AtomicBool>,
        sent: Arc<AtomicU64>,
        acknowledged: Arc<AtomicU64>,
    ) {
        while !quiet.load(Ordering::SeqCst) {
            let number = sent.load(Ordering::SeqCst) + 1;
            let body = numbered(number).to_string();
            sent.store(number, Ordering::SeqCst);
            let fields = ["Content-Type: application/json"];
            match api
                .try_ask("PUT", "/config", &fields, body.as_bytes())
                .await
            {
                Ok(told) if told.status == 200 => acknowledged.store(number, Ordering::SeqCst),
                _ => return,
            }
        }
    }

    /// What serves, what is told and what is stored are one and the same revision, and one of those
    /// that it may be.
    async fn check(&self, ready: &Ready, seed: &str) -> u64 {
        let api = self.api();
        let number = number_in(&api.get("/config").await.json());
        let (least, most) = (
            self.acknowledged.load(Ordering::SeqCst),
            self.sent.load(Ordering::SeqCst),
        );
        assert!(
            (least..=most).contains(&number),
            "{number} serves; {least} was answered, {most} was sent; {seed}"
        );
        for (service, path) in [("first", "/1"), ("last", "/39")] {
            let mut client = Client::connect(ready.virtual_services[service]).await;
            let answer = client.ask(path, &[]).await;
            assert_eq!(answer.text(), number.to_string(), "{service}; {seed}");
        }
        // A request that waited for a worker may have been served after that was ready.
        let current = api.get("/revisions?limit=1").await.json()["current"].as_u64();
        let current = current.expect("a number");
        assert!(current >= ready.revision, "{current} {ready:?}; {seed}");
        let stored = api.get(&format!("/revisions/{current}")).await;
        assert_eq!(number_in(&stored.json()["document"]), number, "{seed}");
        // What was sent and never answered is not in force: its number is free.
        self.sent.store(number, Ordering::SeqCst);
        self.acknowledged.store(number, Ordering::SeqCst);
        number
    }

    /// Every revision can be read, is whole, and names the one before it.
    async fn check_history(&self, seed: &str) {
        let api = self.api();
        let history = api.get("/revisions?limit=1000").await.json();
        let revisions = history["revisions"].as_array().expect("revisions");
        let mut numbers = Vec::new();
        for revision in revisions {
            let number = revision["number"].as_u64().expect("a number");
            let told = api.get(&format!("/revisions/{number}")).await;
            assert_eq!(told.status, 200, "{told:?}; {seed}");
            number_in(&told.json()["document"]);
            numbers.push((number, revision["parent"].as_u64()));
        }
        for pair in numbers.windows(2) {
            assert_eq!(pair[0].1, Some(pair[1].0), "a gap in {numbers:?}; {seed}");
        }
        let audit = api.get("/audit").await;
        assert_eq!(audit.status, 200, "{audit:?}; {seed}");
    }
}

/// The next ready line.
async fn ready(process: &mut Process) -> Ready {
    let Some(line) = process.line().await else {
        panic!("it did not start\n{}", process.stderr());
    };
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line}"))
}

/// A sequence that looks random and can be had again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Kills one balancer so many times; gives how many changes were answered with success.
async fn lane(seed: u64, kills: u64) -> u64 {
    let victim = Victim::new();
    let mut chance = Chance(seed);
    let mut process = victim.start();
    let mut now = ready(&mut process).await;
    for round in 0..kills {
        let said = format!("seed {seed}, round {round}");
        victim.check(&now, &said).await;
        let before = victim.acknowledged.load(Ordering::SeqCst);
        let changing = victim.change();
        // So that each kill meets another revision, however slow the machine is.
        within("a change is made", DEADLINE, victim.changes_after(before)).await;
        tokio::time::sleep(Duration::from_micros(chance.below(80_000))).await;
        // The power cut of a machine, or the end of the process that serves alone.
        let all = chance.below(2) == 0;
        if all {
            kill_tree(process.id());
            process.ended(DEADLINE).await;
        } else {
            let worker = Pid::from_raw(now.process).expect("a process id");
            kill_process(worker, Signal::KILL).expect("it runs");
        }
        victim.quiet.store(true, Ordering::SeqCst);
        within("the changes end", DEADLINE, changing)
            .await
            .expect("no panic");
        if all {
            process = victim.start();
        }
        now = ready(&mut process).await;
    }
    let said = format!("seed {seed}, the end");
    let changes = victim.check(&now, &said).await;
    victim.check_history(&said).await;
    process.signal(Signal::TERM);
    process.ended(DEADLINE).await;
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_at_any_moment_leave_the_old_or_the_new_revision_and_never_a_mix() {
    let seed = std::env::var("LB_TESTS_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.map_or(0, |now| now.subsec_nanos().into());
    let seed: u64 = seed.unwrap_or(clock);
    println!("LB_TESTS_SEED={seed} repeats this");
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..LANES {
        lanes.spawn(lane(seed + number, KILLS / LANES));
    }
    let changes: u64 = lanes.join_all().await.iter().sum();
    println!("{KILLS} kills in the middle of {changes} changes");
    assert!(changes > KILLS, "changes were made between the kills");
}

/// A file system of its own in memory, of this size; it is gone with the value.
struct SmallDisk(TempDir);

impl SmallDisk {
    async fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}");
        let path = folder.path().to_str().expect("a path in UTF-8");
        let args = ["-t", "tmpfs", "-o", &options, "lb-tests", path];
        run("mount", &args).await.expect_success("mount a tmpfs");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the balancer in it may not be gone yet.
        let _left = std::process::Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_what_serves_goes_on_until_there_is_room_again() {
    if !rustix::process::geteuid().is_root() {
        note("only root can mount a file system: a full disk is not tried");
        return;
    }
    let disk = SmallDisk::mount("4m").await;
    let mut victim = Victim::new();
    let config = victim.folder;
    victim.folder = tempfile::tempdir_in(disk.0.path()).expect("a folder");
    let (from, to) = (
        config.path().join("lb.json"),
        victim.folder.path().join("lb.json"),
    );
    std::fs::copy(from, to).expect("copy the document");
    let mut process = victim.start();
    let now = ready(&mut process).await;
    let api = victim.api();
    assert_eq!(api.send("PUT", "/config", &numbered(2)).await.status, 200);
    let mut kept = Client::connect(now.virtual_services["first"]).await;
    assert_eq!(kept.ask("/1", &[]).await.text(), "2");
    let files = || {
        let list = std::fs::read_dir(victim.folder.path().join("state/revisions"));
        let names = list
            .expect("a folder")
            .map(|entry| entry.expect("a file").file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();

    let ballast = disk.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("a file");
    let full = std::io::copy(&mut std::io::repeat(1), &mut file).expect_err("it is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    for number in 3..10 {
        let told = api.send("PUT", "/config", &numbered(number)).await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (500, "internal"),
            "{told:?}"
        );
        let error = &told.json()["error"];
        assert!(error.to_string().contains("No space left"), "{error}");
        assert!(
            error["help"]
                .as_str()
                .is_some_and(|help| help.contains("room")),
            "{error}"
        );
        assert_eq!(
            kept.ask("/1", &[]).await.text(),
            "2",
            "the connection goes on"
        );
    }
    assert_eq!(files(), before, "nothing is left of what was refused");
    assert_eq!(number_in(&api.get("/config").await.json()), 2);

    drop(file);
    std::fs::remove_file(&ballast).expect("make room");
    let told = api.send("PUT", "/config", &numbered(10)).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(told.json()["revision"]["number"], 3, "{told:?}");
    assert_eq!(kept.ask("/1", &[]).await.text(), "10");
    process.signal(Signal::TERM);
    process.ended(DEADLINE).await;
}
