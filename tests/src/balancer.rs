//! The real program, run as an operator runs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Client, Finished, Metrics, Process, eventually, run_within};

/// The line that `lbctl run` prints when it serves.
#[derive(Debug, Deserialize)]
struct Ready {
    virtual_services: BTreeMap<String, SocketAddr>,
    metrics: Option<SocketAddr>,
    process: u32,
}

/// A running balancer; it is killed when the test lets go of it.
#[derive(Debug)]
pub struct Balancer {
    process: Process,
    ready: Ready,
    folder: TempDir,
    stdout: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    /// Starts a balancer with this document, TOML or JSON, and waits until it serves. A TOML
    /// document that says nothing of telemetry gets an address for metrics.
    pub async fn start(document: &str) -> Self {
        Self::start_with(document, &[]).await
    }

    /// The same, with further arguments for `lbctl run`.
    pub async fn start_with(document: &str, args: &[&str]) -> Self {
        Self::start_program(&lbctl_path(), document, args).await
    }

    /// The same with a program that is a copy of `lbctl`.
    pub async fn start_program(program: &Path, document: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let json = document.starts_with('{');
        let config = folder.path().join(if json { "lb.json" } else { "lb.toml" });
        let telemetry = "\n[telemetry]\nmetrics_address = \"127.0.0.1:0\"\n";
        let telemetry = if json || document.contains("[telemetry]") {
            ""
        } else {
            telemetry
        };
        std::fs::write(&config, format!("{document}{telemetry}")).expect("write the document");
        let (process, ready, stdout) = run_in(program, folder.path(), &config, args).await;
        Self {
            process,
            ready,
            folder,
            stdout,
        }
    }

    /// Kills it, and starts another one with the same document and state.
    pub async fn restart(&mut self) {
        self.kill().await;
        let (folder, config) = (self.folder.path(), self.folder.path().join("lb.toml"));
        let (process, ready, stdout) = run_in(&lbctl_path(), folder, &config, &[]).await;
        (self.process, self.ready, self.stdout) = (process, ready, stdout);
    }

    /// Where clients reach a virtual service.
    pub fn address(&self, service: &str) -> SocketAddr {
        let address = self.ready.virtual_services.get(service);
        *address.unwrap_or_else(|| panic!("no virtual service {service} in {:?}", self.ready))
    }

    /// The URL of a path of the virtual service `shop`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address("shop"))
    }

    /// A new connection to the virtual service `shop`.
    pub async fn client(&self) -> Client {
        Client::connect(self.address("shop")).await
    }

    /// Where metrics are scraped.
    pub fn metrics_address(&self) -> SocketAddr {
        self.ready
            .metrics
            .expect("the document has a metrics address")
    }

    /// What the balancer tells about itself.
    pub async fn metrics(&self) -> Metrics {
        let mut client = Client::connect(self.metrics_address()).await;
        client
            .send("GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n")
            .await;
        let response = client.response().await;
        assert_eq!(response.status(), 200, "{}", response.text());
        Metrics(response.text())
    }

    /// Waits until these samples add up to this.
    pub async fn metric_becomes(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let seen = Mutex::new(String::new());
        let what = format!("{name} {labels:?} becomes {value}");
        eventually(&what, async || {
            let metrics = self.metrics().await;
            let sum = metrics.sum(name, labels);
            *seen.lock().expect("not poisoned") = metrics.0;
            ((sum - value).abs() < 1e-9).then_some(())
        })
        .await;
    }

    /// Waits until the balancer thinks that this server is up, or that it is not.
    pub async fn server_is_up(&self, pool: &str, server: &str, up: bool) {
        let labels = [("pool", pool), ("server", server)];
        self.metric_becomes("lb_server_up", &labels, if up { 1.0 } else { 0.0 })
            .await;
    }

    /// The folder that holds the document and the state.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The lines of standard output after the first.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.lock().expect("not poisoned").clone()
    }

    /// The process that serves now.
    pub fn worker(&self) -> Pid {
        let lines = self.lines();
        // The access log may be among them.
        let ready = |line: &String| serde_json::from_str::<Ready>(line).ok();
        let newest = lines.iter().rev().find_map(ready);
        let process = newest.map_or(self.ready.process, |ready| ready.process);
        Pid::from_raw(process.cast_signed()).expect("a process id is not 0")
    }

    /// Waits until another process serves than this one.
    pub async fn replaced(&self, worker: Pid) {
        eventually("another worker serves", async || {
            (self.worker() != worker).then_some(())
        })
        .await;
    }

    /// Resident memory of the process that serves, in bytes.
    pub fn memory(&self) -> u64 {
        crate::process::memory(self.worker())
    }

    /// Kills it with SIGKILL, so that nothing of it is left.
    pub async fn kill(&mut self) {
        let worker = self.worker();
        // The supervisor first: it would start another worker.
        self.process.kill().await;
        kill_process(worker, Signal::KILL).expect("a worker does not end at once by itself");
        let proc = PathBuf::from(format!("/proc/{worker}/exe"));
        eventually("the worker is gone", async || {
            (!proc.exists()).then_some(())
        })
        .await;
    }

    /// The process that was started, and supervises.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process that was started, which may have started others.
    pub fn pid(&self) -> Pid {
        self.process.id()
    }

    /// Asks it to stop, as a service supervisor does.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        self.process.ended(limit).await
    }
}

/// Runs a balancer in a folder until it serves.
async fn run_in(
    program: &Path,
    folder: &Path,
    config: &Path,
    args: &[&str],
) -> (Process, Ready, Arc<Mutex<Vec<String>>>) {
    let mut process = Process::start(
        lbctl_at(program)
            .arg("run")
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .args(["--output", "json"])
            .args(args),
    );
    let Some(line) = process.line().await else {
        let document = std::fs::read_to_string(config).unwrap_or_default();
        panic!(
            "the balancer did not start\n{}\n{document}",
            process.stderr()
        );
    };
    let ready = serde_json::from_str(&line)
        .unwrap_or_else(|e| panic!("{e} in the ready line {line:?}\n{}", process.stderr()));
    let stdout = process.collect_lines();
    (process, ready, stdout)
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // The supervisor is killed with its process; a worker alone would finish what is open.
        if self.process.is_running() {
            // It may have ended by itself.
            let _ = kill_process(self.worker(), Signal::KILL);
        }
    }
}

/// Where the program is: what `LBCTL` names, or what was built with these tests.
pub fn lbctl_path() -> PathBuf {
    if let Some(path) = std::env::var_os("LBCTL") {
        return path.into();
    }
    // Cargo puts test programs into `deps`, beside which it puts the programs of the workspace.
    let test = std::env::current_exe().expect("a test program has a path");
    let built = test
        .parent()
        .and_then(Path::parent)
        .expect("it lies in `deps`")
        .join("lbctl");
    assert!(
        built.exists(),
        "{} is missing: build it, or set LBCTL",
        built.display()
    );
    built
}

/// The program, ready for arguments; the settings of whoever runs the tests do not reach it.
pub fn lbctl() -> Command {
    lbctl_at(&lbctl_path())
}

fn lbctl_at(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LBCTL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `lbctl` with these arguments to its end.
pub async fn run_lbctl(args: &[&str]) -> Finished {
    run_within(Duration::from_secs(30), lbctl().args(args)).await
}
