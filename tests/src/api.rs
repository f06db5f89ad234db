//! The admin API over its Unix socket without a program in between: for tests that ask thousands of
//! times, or that want to see a connection break.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::{Balancer, DEADLINE, Told, within};

/// Where the API of a balancer is, and as whom it is asked.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
    bearer: Option<String>,
}

impl Api {
    /// The API on this socket, as the user of the tests.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            bearer: None,
        }
    }

    /// The same for the bearer of this token.
    #[must_use]
    pub fn with_token(&self, secret: &str) -> Self {
        Self {
            socket: self.socket.clone(),
            bearer: Some(secret.to_owned()),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks, with further header lines and a body if wished, or says why there was no answer.
    pub async fn try_ask(
        &self,
        method: &str,
        path: &str,
        fields: &[&str],
        body: &[u8],
    ) -> io::Result<Told> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: lbctl\r\nConnection: close\r\n");
        let mut own = Vec::new();
        if let Some(secret) = &self.bearer {
            own.push(format!("Authorization: Bearer {secret}"));
        }
        if !body.is_empty() || !matches!(method, "GET" | "DELETE") {
            own.push(format!("Content-Length: {}", body.len()));
        }
        head.push_str(&crate::field_lines(&own));
        head.push_str(&crate::field_lines(fields));
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        // A body that is refused need not be taken to its end: the answer tells.
        let sent = stream.write_all(body).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        if answer.is_empty() {
            sent?;
            read?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(told(&answer))
    }

    /// Asks; there must be an answer.
    pub async fn ask(&self, method: &str, path: &str, fields: &[&str], body: &[u8]) -> Told {
        let what = format!("{method} {path}");
        let asked = within(&what, DEADLINE, self.try_ask(method, path, fields, body)).await;
        asked.unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Told {
        self.ask("GET", path, &[], &[]).await
    }

    /// Sends JSON.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Told {
        let json = ["Content-Type: application/json"];
        self.ask(method, path, &json, body.to_string().as_bytes())
            .await
    }
}

impl Balancer {
    /// Its API, without a program in between.
    pub fn api(&self) -> Api {
        Api::at(self.socket())
    }
}

fn told(answer: &[u8]) -> Told {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.map_or(answer.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.to_vec() };
    Told {
        status: status.unwrap_or(0),
        body: String::from_utf8_lossy(&body).into_owned(),
        head,
    }
}

/// The body in chunks.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(chunks.get(..end).unwrap_or_default()).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).expect("a size of a chunk");
        let rest = chunks.get(end + 2..).unwrap_or_default();
        body.extend(rest.get(..size).unwrap_or(rest));
        chunks = rest.get(size + 2..).unwrap_or_default();
    }
    body
}
