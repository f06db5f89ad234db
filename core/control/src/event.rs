//! What happens, for everybody who listens.

use lb_model::api::{Event, EventKind, Timestamp};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

/// How many events wait for a listener; whoever is slower is told how many were missed.
const EVENTS_MAX: usize = 256;

/// Whom events are told to.
#[derive(Debug)]
pub(crate) struct Events(Sender<Event>);

/// Events from the moment of subscribing on, in order.
#[derive(Debug)]
pub struct Subscription {
    events: Receiver<Event>,
    clock: fn() -> Timestamp,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self(channel(EVENTS_MAX).0)
    }

    /// Nobody has to listen, and nobody who listens slowly holds this up.
    pub(crate) fn tell(&self, at: Timestamp, kind: EventKind) {
        drop(self.0.send(Event { at, kind }));
    }

    pub(crate) fn subscribe(&self, clock: fn() -> Timestamp) -> Subscription {
        let events = self.0.subscribe();
        Subscription { events, clock }
    }
}

impl Subscription {
    /// The next event; none when there is no controller any more.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event {
                at: (self.clock)(),
                kind: EventKind::Missed(missed),
            }),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Timestamp {
        Timestamp::from_unix_millis(0)
    }

    #[tokio::test]
    async fn a_listener_that_lags_is_told_how_much_it_missed_and_then_the_rest() {
        let events = Events::new();
        let mut slow = events.subscribe(never);
        for missed in 0..EVENTS_MAX as u64 + 3 {
            events.tell(never(), EventKind::Missed(1000 + missed));
        }
        assert_eq!(slow.next().await.unwrap().kind, EventKind::Missed(3));
        assert_eq!(slow.next().await.unwrap().kind, EventKind::Missed(1003));
        drop(events);
        for _ in 1..EVENTS_MAX {
            assert!(slow.next().await.is_some());
        }
        assert_eq!(slow.next().await, None);
    }
}
