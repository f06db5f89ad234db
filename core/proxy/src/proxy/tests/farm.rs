//! Web servers and clients that a test can hold still.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until something is so.
pub(super) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A web server that answers every request with its name.
///
/// `/hold` is answered when the test lets it; `/socket` becomes a tunnel that echoes.
pub(super) struct Site {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    gate: Mutex<bool>,
    opened: Condvar,
    held: AtomicUsize,
    requests: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
}

impl Site {
    pub(super) fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name,
            gate: Mutex::new(false),
            opened: Condvar::new(),
            held: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                own.connections.fetch_add(1, Ordering::SeqCst);
                own.open.fetch_add(1, Ordering::SeqCst);
                let own = Arc::clone(&own);
                std::thread::spawn(move || {
                    // It ends when the other side has closed or reset.
                    drop(own.serve(stream));
                    own.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// Requests that are held.
    pub(super) fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Answers everything that is held, from now on at once.
    pub(super) fn release(&self) {
        *self.shared.gate.lock().unwrap() = true;
        self.shared.opened.notify_all();
    }

    /// Holds what comes from now on.
    pub(super) fn hold_again(&self) {
        *self.shared.gate.lock().unwrap() = false;
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Connections that there have been.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that there have been.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut head = Vec::new();
        while read_head(&mut stream, &mut head)? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            if head.starts_with(b"GET /socket") {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                              Upgrade: websocket\r\n\r\n";
                stream.write_all(answer.as_bytes())?;
                let mut other = stream.try_clone()?;
                std::io::copy(&mut stream, &mut other)?;
                return Ok(());
            }
            if head.starts_with(b"GET /hold") {
                self.held.fetch_add(1, Ordering::SeqCst);
                let mut open = self.gate.lock().unwrap();
                while !*open {
                    open = self.opened.wait(open).unwrap();
                }
                self.held.fetch_sub(1, Ordering::SeqCst);
            }
            let (name, length) = (self.name, self.name.len());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"
            )?;
        }
        Ok(())
    }
}

/// Reads one head; `false` at the end of the stream.
fn read_head(stream: &mut TcpStream, head: &mut Vec<u8>) -> std::io::Result<bool> {
    head.clear();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        head.push(byte[0]);
    }
    Ok(true)
}

/// A client with one connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// Whether the balancer announced the end of the connection.
    pub(super) last: bool,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub(super) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Asks for a path and takes the answer.
    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.try_get(path, "").unwrap()
    }

    /// The name of the server that answers.
    pub(super) fn server(&mut self) -> String {
        self.get("/").body
    }

    pub(super) fn try_get(&mut self, path: &str, fields: &str) -> std::io::Result<Answer> {
        self.ask(path, fields)?;
        self.answer()
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, path: &str, fields: &str) -> std::io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n");
        self.stream.write_all(request.as_bytes())
    }

    /// Takes an answer.
    pub(super) fn answer(&mut self) -> std::io::Result<Answer> {
        let mut head = Vec::new();
        if !read_head(&mut self.stream, &mut head)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let head = String::from_utf8(head).unwrap();
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let mut body = vec![0; field("Content-Length:").parse().unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status: head.get(9..12).unwrap().parse().unwrap(),
            body: String::from_utf8(body).unwrap(),
            last: field("Connection:") == "close",
        })
    }

    /// Makes the connection a tunnel.
    pub(super) fn upgrade(&mut self) {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(self.try_get("/socket", fields).unwrap().status, 101);
    }

    /// Sends something through a tunnel and gets it back.
    pub(super) fn echo(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        let mut back = vec![0; text.len()];
        self.stream.read_exact(&mut back).unwrap();
        assert_eq!(back, text.as_bytes());
    }

    /// Waits for the end of the connection, which must be in order.
    pub(super) fn expect_end(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0, "more was sent");
    }

    /// Whether the connection is open and nothing has been sent.
    pub(super) fn is_open(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
}
