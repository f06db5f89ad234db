//! HTTP/1.1 messages as bytes on a TCP connection, for either side of it.
//!
//! This is deliberately not the balancer's codec: a test that reads with the code under test sees
//! what that code believes, not what was sent.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A message as it was on the wire.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Start line and header fields, with the empty line that ends them.
    pub head: Vec<u8>,
    /// The body, without its chunk sizes.
    pub body: Vec<u8>,
    /// The lines of the trailer section; empty when there were none.
    pub trailers: Vec<u8>,
}

impl Message {
    /// The request line or status line.
    pub fn start_line(&self) -> String {
        self.lines().swap_remove(0)
    }

    /// The header fields as they were written, in order.
    pub fn fields(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .skip(1)
            .filter(|line| !line.is_empty())
            .collect()
    }

    /// Every value of a header field, in order.
    pub fn values(&self, name: &str) -> Vec<String> {
        let named = |field: String| {
            let (key, value) = field.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        };
        self.fields().into_iter().filter_map(named).collect()
    }

    /// The first value of a header field.
    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).into_iter().next()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        let line = self.start_line();
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {line:?}"))
    }

    /// The method of a request.
    pub fn method(&self) -> String {
        self.start_line()
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// The target of a request, as it was sent.
    pub fn target(&self) -> String {
        self.start_line()
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.head);
        text.split("\r\n").map(str::to_owned).collect()
    }

    fn is_chunked(&self) -> bool {
        let codings = self.values("transfer-encoding").join(",");
        codings.to_ascii_lowercase().contains("chunked")
    }

    fn length(&self) -> Option<usize> {
        self.value("content-length")?.parse().ok()
    }
}

/// One TCP connection that carries HTTP/1.1 messages.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    patience: Option<Duration>,
}

impl Wire {
    /// Takes over a connection; each read fails after `patience`.
    pub fn new(stream: TcpStream, patience: Option<Duration>) -> Self {
        stream
            .set_nodelay(true)
            .expect("a TCP socket has this option");
        Self {
            stream,
            unread: Vec::new(),
            patience,
        }
    }

    /// The socket, for bytes in bulk; what was read ahead of them is in `unread`.
    pub fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// What was read and not yet taken; it is taken with this.
    pub fn unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Ends the sending side and leaves the receiving side open.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Start line and header fields, or nothing when the peer closed instead.
    pub async fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                return Ok(Some(self.unread.drain(..end + 4).collect()));
            }
            if !self.fill().await? {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(cut("a head"))
                };
            }
        }
    }

    /// The next bytes, exactly so many.
    pub async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            if !self.fill().await? {
                return Err(cut("a body"));
            }
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Whatever has arrived, at least one byte; nothing when the peer has closed.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.unread.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.unread))
    }

    /// Everything until the peer closes.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.unread))
    }

    /// The next request, or nothing when the peer closed instead. `Expect: 100-continue` is granted.
    pub async fn request(&mut self) -> io::Result<Option<Message>> {
        let Some(head) = self.head().await? else {
            return Ok(None);
        };
        let mut message = Message {
            head,
            ..Message::default()
        };
        if message
            .value("expect")
            .is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
        {
            self.send("HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.body_of_request(&mut message).await?;
        Ok(Some(message))
    }

    /// The body that the head of this request announces.
    pub async fn body_of_request(&mut self, message: &mut Message) -> io::Result<()> {
        if message.is_chunked() {
            self.chunks(message).await
        } else {
            message.body = self.exactly(message.length().unwrap_or(0)).await?;
            Ok(())
        }
    }

    /// The next response to a request with this method; interim ones are responses too.
    pub async fn response(&mut self, method: &str) -> io::Result<Message> {
        let head = self
            .head()
            .await?
            .ok_or_else(|| cut("a response that never began"))?;
        let mut message = Message {
            head,
            ..Message::default()
        };
        let status = message.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(message);
        }
        if message.is_chunked() {
            self.chunks(&mut message).await?;
        } else if let Some(length) = message.length() {
            message.body = self.exactly(length).await?;
        } else {
            message.body = self.rest().await?;
        }
        Ok(message)
    }

    async fn chunks(&mut self, message: &mut Message) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(|b| *b == b';').next().unwrap_or_default();
            let digits = String::from_utf8_lossy(digits).trim().to_owned();
            let size = usize::from_str_radix(&digits, 16)
                .map_err(|_| io::Error::other(format!("a chunk size of {digits:?}")))?;
            if size == 0 {
                break;
            }
            message.body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
        }
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            message.trailers.extend(line);
            message.trailers.extend(b"\r\n");
        }
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let mut line: Vec<u8> = self.unread.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if !self.fill().await? {
                return Err(cut("a line"));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.unread.reserve(16 * 1024);
        let read = self.stream.read_buf(&mut self.unread);
        let count = match self.patience {
            Some(patience) => tokio::time::timeout(patience, read)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing arrived"))??,
            None => read.await?,
        };
        Ok(count > 0)
    }
}

fn cut(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the peer closed within {what}"),
    )
}
