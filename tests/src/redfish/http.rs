//! As much of HTTP as the gateway in front of a controller needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: String,
    pub(super) if_match: Option<String>,
    pub(super) body: String,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) status: u16,
    /// Lines of the head, each with its end.
    pub(super) fields: String,
    pub(super) body: String,
}

impl Given {
    pub(super) fn new(status: u16, body: &(impl ToString + ?Sized)) -> Self {
        Self {
            status,
            fields: String::new(),
            body: body.to_string(),
        }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.extend([name, ": ", value, "\r\n"]);
        self
    }
}

/// Serves this until the process ends.
pub(super) fn serve(
    listener: TcpListener,
    answer: impl Fn(&Asked) -> Given + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(&*answer, stream));
        }
    });
}

fn converse(answer: &impl Fn(&Asked) -> Given, mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut asked = Asked {
            method,
            path,
            authorization: String::new(),
            if_match: None,
            body: String::new(),
        };
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            let Some((name, value)) = field.trim().split_once(':') else {
                break;
            };
            let value = value.trim().to_owned();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "authorization" => asked.authorization = value,
                "if-match" => asked.if_match = Some(value),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8_lossy(&body).into_owned();
        let given = answer(&asked);
        let head = format!(
            "HTTP/1.1 {} Answer\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            given.status,
            given.fields,
            given.body.len()
        );
        let whole = [head.as_bytes(), given.body.as_bytes()].concat();
        stream.write_all(&whole).ok()?;
    }
}

/// Asks a server for the same.
pub(super) fn forward(backend: SocketAddr, asked: &Asked) -> Given {
    let mut stream = TcpStream::connect(backend).expect("the controller is there");
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: {backend}\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        asked.method,
        asked.path,
        asked.authorization,
        asked.body.len()
    );
    let sent = stream.write_all(&[head.as_bytes(), asked.body.as_bytes()].concat());
    sent.expect("the controller takes it");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the controller answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Given::new(status.unwrap_or(500), body)
}
