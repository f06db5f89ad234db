//! The server of a lane: it records every byte, answers what is a whole request, and numbers its
//! answers so that a client can tell which of its requests an answer is for.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use lb_tests::Addressed;

use super::message::{Found, Message, Side, read};

/// A recording server.
pub(super) struct Recorder {
    name: String,
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    task: JoinHandle<()>,
}

/// What has reached a server.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Whole requests, in the order of their ends.
    pub(super) requests: Vec<Message>,
    /// Bytes that are not of a whole request.
    pub(super) loose_bytes: usize,
    /// What a strict server would not understand.
    pub(super) wrong: Vec<String>,
}

impl Recorder {
    /// Starts a server on a free port.
    pub(super) async fn start(name: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::<Mutex<Record>>::default();
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            name,
            address,
            record,
            task,
        }
    }

    /// What has arrived since this was asked last; answers count from 1 again.
    pub(super) fn take(&self) -> Record {
        std::mem::take(&mut self.record.lock().unwrap())
    }
}

impl Addressed for Recorder {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, record: Arc<Mutex<Record>>) {
    stream.set_nodelay(true).unwrap();
    let (mut bytes, mut granted) = (Vec::new(), false);
    loop {
        let answer = match read(&bytes, Side::Request, false) {
            Found::Whole(message, length) => {
                bytes.drain(..length);
                granted = false;
                let mut record = record.lock().unwrap();
                record.loose_bytes -= length;
                record.requests.push(message);
                answer(&record)
            }
            Found::PartOfBody(message) if !granted && message.has("expect") => {
                granted = true;
                b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()
            }
            Found::Part | Found::PartOfBody(_) => Vec::new(),
            Found::Wrong(wrong) => {
                let shown = super::message::show(&bytes);
                record
                    .lock()
                    .unwrap()
                    .wrong
                    .push(format!("{wrong}: {shown}"));
                return;
            }
        };
        if answer.is_empty() {
            let Ok(count @ 1..) = stream.read_buf(&mut bytes).await else {
                return;
            };
            record.lock().unwrap().loose_bytes += count;
        } else if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn answer(record: &Record) -> Vec<u8> {
    let number = record.requests.len();
    let body = match record.requests.last() {
        Some(request) if request.line.starts_with(b"HEAD ") => "",
        _ => "ok",
    };
    format!("HTTP/1.1 200 OK\r\nX-Request: {number}\r\nContent-Length: 2\r\n\r\n{body}")
        .into_bytes()
}
