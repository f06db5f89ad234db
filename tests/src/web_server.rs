//! A small web server inside the test that records the bytes of every request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::{Addressed, Message, Wire, field_lines};

type Script =
    dyn Fn(Exchange) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync;

/// A server that a test owns: it answers as scripted, can die, and can return on its port.
pub struct WebServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    state: State,
}

enum State {
    Up(JoinHandle<()>),
    /// The port stays bound, so that connections are refused and nobody else can take it.
    Down(TcpSocket),
}

struct Shared {
    name: String,
    script: Box<Script>,
    requests: Mutex<Vec<Message>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    working: AtomicUsize,
    working_max: AtomicUsize,
}

/// One connection as the script of a server sees it.
pub struct Exchange {
    /// The connection.
    pub wire: Wire,
    /// Which connection of this server it is, from 1.
    pub connection: usize,
    /// From where it was opened.
    pub peer: SocketAddr,
    shared: Arc<Shared>,
}

/// What a server answers.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    fields: Vec<String>,
    body: Vec<u8>,
    after: Option<Duration>,
}

impl Answer {
    /// A 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// An empty answer with this status.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
            after: None,
        }
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With this header line.
    #[must_use]
    pub fn field(mut self, line: impl Into<String>) -> Self {
        self.fields.push(line.into());
        self
    }

    /// Given by a slow server: it takes so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = Some(delay);
        self
    }

    fn bytes(&self, name: &str, connection: usize, request: &Message) -> Vec<u8> {
        let Self {
            status,
            fields,
            body,
            ..
        } = self;
        let own = format!("X-Server: {name}\r\nX-Connection: {connection}\r\n");
        let fields = field_lines(fields);
        let length = match status {
            100..=199 | 204 | 304 => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("HTTP/1.1 {status} Scripted\r\n{own}{fields}{length}\r\n");
        let mut bytes = head.into_bytes();
        if !length.is_empty() && request.method() != "HEAD" {
            bytes.extend(body);
        }
        bytes
    }
}

impl Exchange {
    /// The next request, recorded; nothing when the client side has closed.
    pub async fn request(&mut self) -> io::Result<Option<Message>> {
        let request = self.wire.request().await?;
        if let Some(request) = &request {
            self.record(request.clone());
        }
        Ok(request)
    }

    /// Records a request that the script has read by itself.
    pub fn record(&self, request: Message) {
        self.shared
            .requests
            .lock()
            .expect("not poisoned")
            .push(request);
    }

    async fn answer_all(
        mut self,
        answer: Arc<dyn Fn(&Message) -> Answer + Send + Sync>,
    ) -> io::Result<()> {
        while let Some(request) = self.request().await? {
            let now = self.shared.working.fetch_add(1, Ordering::SeqCst) + 1;
            self.shared.working_max.fetch_max(now, Ordering::SeqCst);
            let answer = answer(&request);
            if let Some(delay) = answer.after {
                tokio::time::sleep(delay).await;
            }
            let bytes = answer.bytes(&self.shared.name, self.connection, &request);
            // Counted before it is sent: the balancer may use the free place as soon as it sees this.
            self.shared.working.fetch_sub(1, Ordering::SeqCst);
            self.wire.send(bytes).await?;
        }
        Ok(())
    }
}

impl WebServer {
    /// A server that answers everything with 200 and its name.
    pub async fn start(name: &str) -> Self {
        let body = format!("{name}\n");
        Self::answering(name, move |_| Answer::ok(body.clone())).await
    }

    /// A server that answers each request with what this gives.
    pub async fn answering(
        name: &str,
        answer: impl Fn(&Message) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let answer: Arc<dyn Fn(&Message) -> Answer + Send + Sync> = Arc::new(answer);
        Self::scripted(name, move |exchange| {
            exchange.answer_all(Arc::clone(&answer))
        })
        .await
    }

    /// A server that does this with each connection, which ends when the script does.
    #[expect(
        clippy::unused_async,
        reason = "it spawns a task, which needs a runtime around it"
    )]
    pub async fn scripted<F>(
        name: &str,
        script: impl Fn(Exchange) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            script: Box::new(move |exchange| Box::pin(script(exchange))),
            requests: Mutex::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
            working_max: AtomicUsize::new(0),
        });
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("a bound socket has an address");
        let mut server = Self {
            address,
            shared,
            state: State::Down(socket),
        };
        server.revive();
        server
    }

    /// Dies as a killed process does: the port refuses, every connection breaks.
    pub async fn die(&mut self) {
        if let State::Up(task) = &mut self.state {
            // Taken before the port is given up: in between, an outgoing connection could get it.
            let held = bound(self.address);
            task.abort();
            // Only an ended task has dropped its sockets, so that the port refuses.
            let _ended = task.await;
            self.shared.working.store(0, Ordering::SeqCst);
            self.state = State::Down(held);
        }
    }

    /// Returns on the same port.
    pub fn revive(&mut self) {
        if let State::Down(socket) = &mut self.state {
            let socket = std::mem::replace(socket, TcpSocket::new_v4().expect("a socket"));
            let listener = socket.listen(4096).expect("the port is ours");
            self.state = State::Up(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        }
    }

    /// Every request that came, in the order of its end.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().expect("not poisoned").clone()
    }

    /// The last request that came.
    pub fn last_request(&self) -> Message {
        let last = self
            .shared
            .requests
            .lock()
            .expect("not poisoned")
            .last()
            .cloned();
        last.unwrap_or_else(|| panic!("no request has reached {}", self.shared.name))
    }

    /// How many requests came.
    pub fn request_count(&self) -> usize {
        self.shared.requests.lock().expect("not poisoned").len()
    }

    /// Forgets the requests that came.
    pub fn forget(&self) {
        self.shared.requests.lock().expect("not poisoned").clear();
    }

    /// How many connections were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many requests were being answered at a time, at most.
    pub fn working_max(&self) -> usize {
        self.shared.working_max.load(Ordering::SeqCst)
    }

    /// How many requests are being answered.
    pub fn working(&self) -> usize {
        self.shared.working.load(Ordering::SeqCst)
    }
}

impl Addressed for WebServer {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        if let State::Up(task) = &self.state {
            task.abort();
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_reuseaddr(true)
        .expect("a TCP socket has this option");
    socket
        .set_reuseport(true)
        .expect("a TCP socket has this option");
    socket
        .bind(address)
        .unwrap_or_else(|e| panic!("bind {address}: {e}"));
    socket
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            connections.spawn(serve(stream, peer, Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    struct Open(Arc<Shared>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    let connection = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(Arc::clone(&shared));
    let wire = Wire::new(stream, None);
    let exchange = Exchange {
        wire,
        connection,
        peer,
        shared: Arc::clone(&shared),
    };
    // A connection that breaks is what many tests are about; the balancer's side is what they check.
    let _broken = (shared.script)(exchange).await;
}
