//! A connection to a server that speaks HTTP/2: one task reads and writes its frames.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::ServerSocket;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::http2::Wire;
use crate::http2::calm::Calm;
use crate::http2::frame::Code;
use crate::http2::read::Reader;
use crate::http2::session::{Peer, RESPONSE_WINDOW, Session};
use crate::stream::Stream as _;
use crate::worker::Worker;

/// How long a server may take for the rest of what it has begun to say, and to take what we say.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a last word may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// One connection.
struct Driver {
    worker: Rc<Worker>,
    stream: ServerSocket,
    wire: Wire,
    deadline: Deadline,
    waits_for: Wait,
    pending: usize,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// What every server has to say first, or the rest of a frame.
    Rest,
    /// That the server takes what is sent.
    Room,
    /// Anybody. Whoever waits for a response has a deadline of its own, and that the server's machine is
    /// gone is what TCP finds out.
    Others,
}

/// How a connection ends.
enum End {
    /// No more requests come.
    Done,
    /// The server is gone.
    Gone,
    /// The server has broken a rule.
    Broken(Code),
}

/// Begins to speak HTTP/2 on a connection, in a task of this worker.
pub(super) fn start(worker: &Rc<Worker>, stream: ServerSocket) -> Rc<Session> {
    let now = Instant::now();
    let session = Rc::new(Session::new(Peer::Server, stream.tls().cloned()));
    session.push_preface();
    session.introduce(&[
        // Nothing is pushed, and no more than that is taken of a response ahead.
        (2, 0),
        (4, RESPONSE_WINDOW),
    ]);
    let driver = Driver {
        worker: Rc::clone(worker),
        stream,
        wire: Wire {
            session: Rc::clone(&session),
            reader: Reader::of_server(Calm::new(now)),
            buffer: Buffer::default(),
        },
        deadline: Deadline::new(now, PATIENCE),
        waits_for: Wait::Rest,
        pending: 0,
    };
    tokio::task::spawn_local(driver.run());
    session
}

impl Driver {
    async fn run(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        let code = match end {
            End::Done => Some(Code::NoError),
            End::Gone => None,
            End::Broken(code) => {
                tracing::debug!(?code, "a server breaks the rules of HTTP/2");
                Some(code)
            }
        };
        self.wire.session.end();
        if let Some(code) = code {
            self.wire.session.goodbye(0, code);
            let said = poll_fn(|cx| {
                std::task::ready!(self.wire.poll_flush(cx, &mut self.stream))?;
                Pin::new(&mut self.stream).poll_shutdown(cx)
            });
            // Whether the server hears it makes no difference.
            let _heard = tokio::time::timeout(GOODBYE_MAX, said).await;
        }
        self.wire.end(&self.worker.buffers);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Self {
            worker,
            stream,
            wire,
            ..
        } = self;
        wire.session.attend(cx.waker());
        let now = Instant::now();
        let (completed, _) = wire.session.take_counts();
        wire.reader.calm.fill(now, completed);
        loop {
            let flushed = match wire.poll_flush(cx, stream) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Gone),
                Poll::Pending => false,
            };
            if flushed && wire.session.is_leaving() && wire.session.is_unused() {
                return Poll::Ready(End::Done);
            }
            let mut any = false;
            loop {
                match wire.next() {
                    // Nothing is left to be decided: a server begins no streams.
                    Ok(Some(_)) => any = true,
                    Ok(None) => break,
                    Err(code) => return Poll::Ready(End::Broken(code)),
                }
            }
            if any && wire.session.pending() > 0 {
                continue;
            }
            match wire.poll_fill(cx, stream, &worker.buffers) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(End::Gone),
                Poll::Pending => break,
            }
        }
        self.poll_deadline(cx, now)
    }

    /// Looks whether what the connection waits for takes too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<End> {
        let pending = self.wire.session.pending();
        let waits_for = if pending > 0 {
            Wait::Room
        } else if self.wire.reader.is_midway() || !self.wire.buffer.is_empty() {
            Wait::Rest
        } else {
            Wait::Others
        };
        let moved = waits_for == Wait::Room && pending < self.pending;
        if waits_for != self.waits_for || moved {
            self.waits_for = waits_for;
            self.deadline.set(now + PATIENCE);
        }
        self.pending = pending;
        while self.deadline.poll_passed(cx).is_ready() {
            match self.waits_for {
                Wait::Rest | Wait::Room => return Poll::Ready(End::Gone),
                Wait::Others => self.deadline.set(Instant::now() + PATIENCE),
            }
        }
        Poll::Pending
    }
}
