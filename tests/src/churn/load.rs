//! Requests by `wrk`, over connections that it keeps.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use crate::{Balancer, DEADLINE, Process, eventually};

/// A run of `wrk`, until it is ended.
pub(super) struct Load(Process);

/// What it found.
pub(super) struct Loaded {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) text: String,
}

impl Load {
    /// Starts it on the virtual service `shop`.
    pub(super) fn start(balancer: &Balancer, pause: Option<Duration>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/load.lua");
        let mut command = Command::new("wrk");
        command
            .args(["--threads", "1", "--connections", "32", "--timeout", "10s"])
            .args(["--duration", "1h"])
            .arg("--script")
            .arg(script)
            .arg(balancer.url("/"));
        if let Some(pause) = pause {
            command.env("BENCH_PAUSE_MS", pause.as_millis().to_string());
        }
        Self(Process::start(&mut command))
    }

    /// Waits until requests arrive.
    pub(super) async fn has_begun(&self, balancer: &Balancer) {
        eventually("wrk sends requests", async || {
            let status = balancer.api().get("/status").await.json();
            let answered = &status["status"]["virtual_services"]["shop"]["responses"]["2xx"];
            (answered.as_u64()? > 1000).then_some(())
        })
        .await;
    }

    /// Ends it.
    pub(super) async fn end(mut self) -> Loaded {
        self.0.signal(Signal::INT);
        let mut text = String::new();
        while let Some(line) = self.0.line().await {
            text.push_str(&line);
            text.push('\n');
        }
        let status = self.0.ended(DEADLINE).await;
        assert!(
            status.success(),
            "wrk: {status}\n{text}\n{}",
            self.0.stderr()
        );
        let figures = text.lines().last().unwrap_or_default();
        let figures: Value =
            serde_json::from_str(figures).unwrap_or_else(|e| panic!("{e} in {text}"));
        let figure = |name: &str| {
            let figure = figures[name].as_u64();
            figure.unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        let failures = ["connect", "read", "write", "timeout", "status"];
        Loaded {
            requests: figure("requests"),
            failures: failures.map(figure).iter().sum(),
            text,
        }
    }
}
