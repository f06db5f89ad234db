//! The stream of events: server-sent events, bounded, and kept alive while nothing happens.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use lb_model::api::Event;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use super::stop::Stopping;
use crate::Subscription;

/// How many lines wait for a listener; whoever is slower misses events, and is told how many.
const QUEUE_LENGTH_MAX: usize = 16;

/// How often a line is sent when nothing happens, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The body of an answer that tells events as they happen.
#[derive(Debug)]
pub(super) struct EventStream {
    lines: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl EventStream {
    /// Tells what the subscription brings, for as long as somebody listens and the API
    /// is served.
    pub(super) fn start(
        subscription: Subscription,
        place: OwnedSemaphorePermit,
        stopping: Stopping,
    ) -> Self {
        let (sender, lines) = mpsc::channel(QUEUE_LENGTH_MAX);
        tokio::spawn(tell(subscription, sender, stopping));
        Self {
            lines,
            _place: place,
        }
    }
}

async fn tell(mut subscription: Subscription, lines: mpsc::Sender<Bytes>, mut stopping: Stopping) {
    // The head of the answer leaves with the first line.
    let mut line = Bytes::from_static(b": this tells what happens from now on\n\n");
    loop {
        if lines.send(line).await.is_err() {
            return;
        }
        let next = tokio::select! {
            next = timeout(KEEP_ALIVE, subscription.next()) => next,
            () = lines.closed() => return,
            () = stopping.wait() => return,
        };
        line = match next {
            Ok(Some(event)) => text(&event),
            Ok(None) => return,
            Err(_) => Bytes::from_static(b": nothing new\n\n"),
        };
    }
}

/// An event as it goes over the wire. JSON has no line ends that are not escaped.
fn text(event: &Event) -> Bytes {
    let name = event.kind.as_str();
    let json = serde_json::to_string(event).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let line = self.lines.poll_recv(context);
        line.map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
