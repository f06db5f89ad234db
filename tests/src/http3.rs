//! An HTTP/3 client: aioquic, which does what a test says, step by step.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::{python, within};

/// One connection of aioquic.
#[derive(Debug)]
pub struct Http3Client {
    /// Killed when this is dropped.
    _process: Child,
    orders: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
    /// What was told while something else was waited for.
    kept: Vec<Value>,
}

impl Http3Client {
    /// Begins to connect to this address, as a client that asks for this host and trusts the authority in
    /// this file. Options are those of `tests/peers/http3_client.py`.
    pub fn start(authority: &str, host: &str, address: SocketAddr, options: &[&str]) -> Self {
        let mut process = python("http3_client.py")
            .args([authority, host, &address.port().to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("start the HTTP/3 client");
        let told = process.stdout.take().expect("its output");
        Self {
            orders: process.stdin.take().expect("its input"),
            told: BufReader::new(told).lines(),
            kept: Vec::new(),
            _process: process,
        }
    }

    /// The same, and waits until it is connected.
    pub async fn connect(
        authority: &str,
        host: &str,
        address: SocketAddr,
        options: &[&str],
    ) -> Self {
        let mut client = Self::start(authority, host, address, options);
        client.event("connected").await;
        client
    }

    /// Tells it to do something.
    pub async fn tell(&mut self, order: Value) {
        let line = format!("{order}\n");
        let written = self.orders.write_all(line.as_bytes()).await;
        written.expect("tell the HTTP/3 client");
    }

    /// Asks for a path: what it is told of the answer.
    pub async fn get(&mut self, path: &str) -> Value {
        let id = format!("get {path}");
        self.tell(json!({ "do": "request", "id": id, "path": path }))
            .await;
        self.answer(&id).await
    }

    /// What is answered to the request with this name, or with what it was broken off.
    pub async fn answer(&mut self, id: &str) -> Value {
        let answers =
            |told: &Value| told["id"] == id && (told["status"].is_u64() || told["reset"].is_u64());
        self.next(&format!("the answer to {id}"), answers).await
    }

    /// What happens to the connection: `connected`, `goaway`, `closed`.
    pub async fn event(&mut self, event: &str) -> Value {
        self.next(event, |told| told["event"] == event).await
    }

    /// The next thing that is told for which this is true.
    pub async fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at);
        }
        let Self { told, kept, .. } = self;
        let limit = crate::DEADLINE;
        within(&format!("HTTP/3: {what}"), limit, async {
            loop {
                let line = told.next_line().await.expect("read what is told");
                let Some(line) = line else {
                    panic!("the HTTP/3 client has ended without {what}; it told {kept:?}");
                };
                let told: Value = serde_json::from_str(&line).expect("JSON");
                if wanted(&told) {
                    return told;
                }
                kept.push(told);
            }
        })
        .await
    }

    /// What was told and nobody has asked for.
    pub fn kept(&self) -> &[Value] {
        &self.kept
    }
}
