//! A client that sends exactly the bytes it is told to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::{DEADLINE, Message, Wire, field_lines};

/// One client connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    method: String,
}

impl Client {
    /// Connects from any address of this machine.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        Self::over(stream.unwrap_or_else(|e| panic!("connect to {address}: {e}")))
    }

    /// Connects from this address; every address in 127.0.0.0/8 is one of this machine.
    pub async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::new(source, 0))
            .expect("a loopback address can be bound");
        let stream = socket.connect(address).await;
        Self::over(stream.unwrap_or_else(|e| panic!("connect {source} to {address}: {e}")))
    }

    fn over(stream: TcpStream) -> Self {
        Self {
            wire: Wire::new(stream, Some(DEADLINE)),
            method: String::new(),
        }
    }

    /// The connection itself.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Sends these bytes, which may be a piece of a request or several requests.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        let method = bytes.split(|b| *b == b' ').next().unwrap_or_default();
        self.method = String::from_utf8_lossy(method).into_owned();
        self.wire
            .send(bytes)
            .await
            .unwrap_or_else(|e| panic!("send {} bytes: {e}", bytes.len()));
        self
    }

    /// Sends a `GET` for this path, with further header lines if wished, and takes the response.
    pub async fn ask(&mut self, path: &str, fields: &[&str]) -> Message {
        let fields = field_lines(fields);
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n"
        ))
        .await;
        self.response().await
    }

    /// The same, or why there was no response.
    pub async fn try_ask(&mut self, path: &str) -> io::Result<Message> {
        "GET".clone_into(&mut self.method);
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        self.wire.send(request).await?;
        self.try_response().await
    }

    /// The response to what was sent last, or to the oldest request that has none yet.
    pub async fn response(&mut self) -> Message {
        let method = self.method.clone();
        self.wire
            .response(&method)
            .await
            .unwrap_or_else(|e| panic!("response to {method}: {e}"))
    }

    /// The response, or why there is none.
    pub async fn try_response(&mut self) -> io::Result<Message> {
        let method = self.method.clone();
        self.wire.response(&method).await
    }

    /// Waits until the other side has closed and gives what it sent before; a reset counts as closed.
    pub async fn closed(&mut self) -> Vec<u8> {
        match self.wire.rest().await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Vec::new(),
            Err(e) => panic!("the connection should be closed: {e}"),
        }
    }

    /// Whether the other side closes within this time without sending anything.
    pub async fn closes_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.closed())
            .await
            .is_ok_and(|sent| sent.is_empty())
    }
}
