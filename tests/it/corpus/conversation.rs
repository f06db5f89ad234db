//! One client connection: it sends in pieces and reads at the same time, so that an answer that comes
//! before everything is sent is not lost.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use tokio::time::timeout;

use lb_tests::DEADLINE;

use super::case::Ending;
use super::message::{Found, Message, Side, read, show};

/// A client connection and what it has heard.
pub(super) struct Conversation {
    stream: TcpStream,
    heard: Vec<u8>,
    /// How the other side has closed, if it has.
    pub(super) closed: Option<Closed>,
}

/// How a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// In order.
    Finished,
    /// With a reset: what was said may not be all.
    Reset,
}

/// How a message is cut into writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In one write.
    Whole,
    /// Byte by byte; a large one in a thousand pieces.
    Pieces,
}

impl Delivery {
    /// The pieces in order.
    pub(super) fn cut(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Pieces => bytes.chunks(bytes.len().div_ceil(1000).max(1)).collect(),
        }
    }
}

impl Conversation {
    /// Connects.
    pub(super) async fn start(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await;
        let stream = stream.unwrap_or_else(|e| panic!("connect to {address}: {e}"));
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            heard: Vec::new(),
            closed: None,
        }
    }

    /// Sends, ends, and reads until `enough` of what was heard or until the other side closes.
    /// Whoever closes hears nothing. `Err`: it took too long.
    pub(super) async fn say(
        &mut self,
        pieces: &[&[u8]],
        ending: Ending,
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<(), String> {
        let Self {
            stream,
            heard,
            closed,
        } = self;
        let (mut receiving, mut sending) = stream.split();
        let send = async {
            for piece in pieces {
                // The other side may have answered and closed before it has read everything.
                if sending.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if ending == Ending::Finish {
                let _already_closed = sending.shutdown().await;
            }
        };
        let receive = async {
            while closed.is_none() && !enough(heard) {
                match receiving.read_buf(heard).await {
                    Ok(0) => *closed = Some(Closed::Finished),
                    Ok(_) => {}
                    Err(_) => *closed = Some(Closed::Reset),
                }
            }
        };
        let told = async {
            if matches!(ending, Ending::Close | Ending::Reset) {
                send.await;
            } else {
                let everything = async {
                    send.await;
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = receive => {}
                    () = everything => {}
                }
            }
        };
        let waited = timeout(DEADLINE, told).await;
        if ending == Ending::Reset {
            self.stream.set_zero_linger().unwrap();
        }
        waited.map_err(|_| format!("waited {DEADLINE:?} in vain behind {}", show(&self.heard)))
    }

    /// The next response, taken out of what was heard.
    pub(super) fn response(&mut self, to_head: bool) -> Result<Message, String> {
        match read(
            &self.heard,
            Side::Response { to_head },
            self.closed == Some(Closed::Finished),
        ) {
            Found::Whole(message, length) => {
                self.heard.drain(..length);
                Ok(message)
            }
            found @ (Found::Part | Found::PartOfBody(_) | Found::Wrong(_)) => {
                let closed = self.closed;
                Err(format!(
                    "no whole answer but {found:?} {closed:?}: {}",
                    show(&self.heard)
                ))
            }
        }
    }

    /// What was heard and not yet taken.
    pub(super) fn heard(&self) -> &[u8] {
        &self.heard
    }
}

/// Whether these bytes hold so many final responses; `to_head` tells for each whether it answers HEAD.
pub(super) fn holds_responses(bytes: &[u8], to_head: &[bool]) -> bool {
    let mut rest = bytes;
    for to_head in to_head {
        loop {
            match read(rest, Side::Response { to_head: *to_head }, false) {
                Found::Whole(message, length) => {
                    rest = &rest[length..];
                    if message.status() >= 200 {
                        break;
                    }
                }
                // Nothing that comes later makes it right.
                Found::Wrong(_) => return true,
                Found::Part | Found::PartOfBody(_) => return false,
            }
        }
    }
    true
}
