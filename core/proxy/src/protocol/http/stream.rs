//! Requests of HTTP/2 and HTTP/3: each is a stream, and is served like one of HTTP/1.1, by the code that
//! serves those.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::codec::{BadMessage, Version};
use super::{After, Connection, Scratch, facts};
use crate::snapshot::LiveService;
use crate::stream::{Client, Stream};
use crate::worker::Worker;

/// The most tasks that wait for a request: 256 of some 3 KiB.
const WAITING_MAX: usize = 256;

/// A request that has come whole, as far as its head.
pub(crate) struct Job<S> {
    live: Rc<LiveService>,
    client: Client<S>,
    /// Holds the head, in the form of HTTP/1.1.
    scratch: Box<Scratch>,
    version: Version,
    /// Why it is refused, if it is.
    refusal: Option<BadMessage>,
}

impl<S: Stream> Job<S> {
    /// A request whose head is `text`.
    pub(crate) fn new(
        worker: &Worker,
        live: Rc<LiveService>,
        client: Client<S>,
        (text, version): (&[u8], Version),
        refusal: Option<BadMessage>,
    ) -> Self {
        let mut scratch = worker.lend_scratch();
        scratch.request_bytes.clear();
        scratch.request_bytes.extend_from_slice(text);
        Self {
            live,
            client,
            scratch,
            version,
            refusal,
        }
    }

    /// Serves it, or refuses it.
    pub(crate) async fn serve(self, worker: Rc<Worker>) {
        let Self {
            live,
            client,
            mut scratch,
            version,
            refusal,
        } = self;
        let mut connection = Connection::new(worker, live, client, false);
        let started = connection.now;
        let limits = connection.live.look(|service| service.head);
        let bytes = std::mem::take(&mut scratch.request_bytes);
        let parsed = match refusal {
            Some(refusal) => Err(refusal),
            None => scratch.request.parse(&bytes, &limits),
        };
        scratch.request_bytes = bytes;
        scratch.request.version = version;
        let after = match parsed {
            Ok(true) => connection.exchange(&mut scratch, started).await,
            // The head is whole: there is an empty line at its end.
            Ok(false) => After::Close,
            Err(message) => {
                let facts = facts::Facts::refused(started, message);
                connection.refuse(&mut scratch, facts, message).await
            }
        };
        connection.worker.reclaim_scratch(scratch);
        if after == After::Tunnel
            && let Some(upgrade) = connection.upgrade.take()
        {
            Box::pin(connection.carry(upgrade)).await;
        }
    }
}

/// Tasks of one worker that serve one request after the other. A task of its own for each would need
/// memory of a size that allocators are slow to find.
pub(crate) struct StreamTasks<S> {
    waiting: RefCell<Vec<Rc<Place<S>>>>,
}

/// Where a task finds its next request.
struct Place<S> {
    job: Cell<Option<Job<S>>>,
    /// Wakes the task; it never changes.
    waker: RefCell<Option<Waker>>,
}

impl<S> Default for StreamTasks<S> {
    fn default() -> Self {
        Self {
            waiting: RefCell::default(),
        }
    }
}

impl<S: Stream + 'static> StreamTasks<S> {
    /// Has a request served.
    pub(crate) fn serve(self: &Rc<Self>, worker: &Rc<Worker>, job: Job<S>) {
        let waiting = self.waiting.borrow_mut().pop();
        let Some(place) = waiting else {
            let place = Rc::new(Place {
                job: Cell::new(Some(job)),
                waker: RefCell::default(),
            });
            tokio::task::spawn_local(Rc::clone(self).run(Rc::clone(worker), place));
            return;
        };
        place.job.set(Some(job));
        if let Some(waker) = &*place.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Serves what comes to this place.
    async fn run(self: Rc<Self>, worker: Rc<Worker>, place: Rc<Place<S>>) {
        loop {
            let job = poll_fn(|cx| {
                let job = place.job.take();
                if job.is_none() {
                    let waker = &mut *place.waker.borrow_mut();
                    waker.get_or_insert_with(|| cx.waker().clone());
                }
                job.map_or(Poll::Pending, Poll::Ready)
            });
            job.await.serve(Rc::clone(&worker)).await;
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() >= WAITING_MAX {
                return;
            }
            waiting.push(Rc::clone(&place));
        }
    }
}
