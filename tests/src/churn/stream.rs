//! Connections that stay open: web sockets, TCP connections, and HTTP connections that are idle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{Addressed, eventually};

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An upgrade, and then what the client sends comes back.
    WebSocket,
    /// What the client sends comes back.
    Tcp,
    /// One request that is answered, and nothing more.
    Idle,
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\n\r\n";
const ASK: &str = "GET / HTTP/1.1\r\nHost: chat\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// How long a connection is silent between two messages.
const PAUSE: Duration = Duration::from_millis(400);

/// A server that sends back what it gets.
#[derive(Debug)]
pub(super) struct Echo {
    name: String,
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Echo {
    pub(super) async fn start(name: &str, kind: Kind) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its address");
        let open = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&open);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    let _broken = echo(stream, kind).await;
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            name: name.to_owned(),
            address,
            open,
            task,
        }
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Addressed for Echo {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(mut stream: TcpStream, kind: Kind) -> io::Result<()> {
    loop {
        if kind == Kind::Tcp {
            break;
        }
        let head = head(&mut stream).await?;
        if head.to_ascii_lowercase().contains("upgrade: websocket") {
            stream.write_all(AGREED.as_bytes()).await?;
            break;
        }
        stream.write_all(ANSWER.as_bytes()).await?;
    }
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}

/// A head, byte by byte so that nothing behind it is taken.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Stream {
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How many messages have come back.
    echoed: AtomicUsize,
    /// Why it ended, when it has.
    end: Mutex<Option<String>>,
}

impl Stream {
    /// Opens so many at once, each with its first exchange done.
    pub(super) async fn open_many(address: SocketAddr, kind: Kind, count: usize) -> Vec<Self> {
        let mut streams = Vec::new();
        for number in 0..count {
            streams.push(Self::open(address, kind, number).await);
        }
        if kind != Kind::Idle {
            eventually("every connection carries its first message", async || {
                streams.iter().all(|s| s.echoed() > 0).then_some(())
            })
            .await;
        }
        streams
    }

    async fn open(address: SocketAddr, kind: Kind, number: usize) -> Self {
        let state = Arc::<State>::default();
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let opening = match kind {
            Kind::WebSocket => Some((UPGRADE, "101")),
            Kind::Idle => Some((ASK, "200")),
            Kind::Tcp => None,
        };
        if let Some((request, status)) = opening {
            stream.write_all(request.as_bytes()).await.expect("sent");
            let head = head(&mut stream).await.expect("an answer");
            assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        }
        let watched = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let end = match kind {
                Kind::Idle => wait(&mut stream).await,
                Kind::WebSocket | Kind::Tcp => talk(&mut stream, &watched, number).await,
            };
            let why = end.map_or_else(|e| e.to_string(), |()| "closed".to_owned());
            *watched.end.lock().expect("not poisoned") = Some(why);
        });
        Self { state, task }
    }

    fn echoed(&self) -> usize {
        self.state.echoed.load(Ordering::SeqCst)
    }

    fn end(&self) -> Option<String> {
        self.state.end.lock().expect("not poisoned").clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for the end of a connection that carries nothing.
async fn wait(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 16];
    match stream.read(&mut bytes).await? {
        0 => Ok(()),
        count => Err(io::Error::other(format!(
            "{count} bytes that nobody asked for"
        ))),
    }
}

/// Sends messages and takes them back until the connection breaks.
async fn talk(stream: &mut TcpStream, state: &State, number: usize) -> io::Result<()> {
    for count in 0_u32.. {
        let message = format!("{number}-{count};");
        stream.write_all(message.as_bytes()).await?;
        let mut echoed = vec![0; message.len()];
        stream.read_exact(&mut echoed).await?;
        if echoed != message.as_bytes() {
            let echoed = String::from_utf8_lossy(&echoed).into_owned();
            return Err(io::Error::other(format!("{echoed} instead of {message}")));
        }
        state.echoed.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// How many there are, and why those have ended that have.
pub(super) fn ends(streams: &[Stream]) -> (usize, Vec<String>) {
    (
        streams.len(),
        streams.iter().filter_map(Stream::end).collect(),
    )
}

/// Waits until each of these that is open has got a message back that was sent after now.
pub(super) async fn all_still_echo<'a>(streams: impl IntoIterator<Item = &'a Stream>) {
    let before = streams.into_iter().map(|stream| (stream, stream.echoed()));
    let before: Vec<_> = before.collect();
    eventually("every connection still carries messages", async || {
        // The first of two may have been on its way before.
        before
            .iter()
            .all(|(stream, count)| stream.end().is_some() || stream.echoed() >= count + 2)
            .then_some(())
    })
    .await;
}

/// Waits until all of these have ended.
pub(super) async fn all_ended(streams: &[Stream]) {
    eventually("idle connections of a removed service end", async || {
        streams
            .iter()
            .all(|stream| stream.end().is_some())
            .then_some(())
    })
    .await;
}
