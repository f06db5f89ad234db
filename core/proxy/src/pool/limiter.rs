//! Where requests wait while every server that could take them is at its limit.
//!
//! [`Slots`] decides; this file locks it, and wakes those whom it names. The lock is taken only in
//! pools where a server has a limit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

mod slots;

#[cfg(test)]
mod tests;

pub(super) use slots::{Slots, Wants};

use super::Pool;
use super::server::{Access, ServerId};
use super::view::access;
use slots::{Admits, Ticket, Wake};

/// The limits of a pool's servers, and its queue.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    queue: Mutex<Queue>,
}

/// What the lock of a limiter protects.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) slots: Slots,
    /// How to wake each one that waits.
    wakers: HashMap<Ticket, Waker>,
    /// Which configuration the limits come from: an older pool that is still in use must not bring
    /// its own back.
    generation: u64,
}

/// How to wake one that waits.
#[derive(Debug)]
struct Waker {
    grant: oneshot::Sender<Option<ServerId>>,
    /// The configuration under which it joined.
    generation: u64,
}

/// A place in the queue. Dropped early, it is given up, and what was granted meanwhile passed on.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    limiter: &'a Limiter,
    ticket: Ticket,
    grant: oneshot::Receiver<Option<ServerId>>,
    settled: bool,
}

impl Limiter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().slots.waiting()
    }

    /// Joins the queue, with the lock under which all servers were found at their limits; nothing
    /// when the queue is full.
    pub(super) fn join<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        wants: Wants,
        pool: &Pool,
    ) -> Option<Waiting<'a>> {
        let length_max = usize::try_from(pool.queue.length_max).unwrap_or(usize::MAX);
        let ticket = queue.slots.join(wants, length_max)?;
        let (sender, grant) = oneshot::channel();
        let waker = Waker {
            grant: sender,
            generation: pool.generation,
        };
        queue.wakers.insert(ticket, waker);
        Some(Waiting {
            limiter: self,
            ticket,
            grant,
            settled: false,
        })
    }

    /// A request has ended: its place goes to the first that waits for it.
    pub(super) fn release(&self, server: ServerId) {
        self.lock().release(server);
    }

    /// Takes over whom servers are there for, and wakes whom that concerns.
    pub(super) fn update(&self, pool: &Pool, now: Instant) {
        let mut queue = self.lock();
        if queue.take_over(pool, now) {
            let wakes = queue.slots.reconsider();
            queue.wake(wakes);
        }
    }

    /// Takes over the limits of a configuration. Who waits is woken only for a place: the next
    /// configuration may have others to wait for.
    pub(super) fn enter(&self, pool: &Pool, now: Instant) {
        let mut queue = self.lock();
        if queue.take_over(pool, now) && !pool.limited {
            let known = |id| pool.servers.iter().any(|server| server.state.id == id);
            queue.slots.forget_others(known);
        }
    }

    /// Wakes everybody who joined under an earlier configuration than this one.
    pub(super) fn supersede(&self, generation: u64) {
        let mut queue = self.lock();
        let earlier = queue.wakers.iter();
        let earlier = earlier.filter(|(_, waker)| waker.generation < generation);
        let mut tickets: Vec<Ticket> = earlier.map(|(ticket, _)| *ticket).collect();
        // Who came first decides first.
        tickets.sort_unstable();
        let wakes = queue.slots.send_away(tickets);
        queue.wake(wakes);
    }

    /// Counts requests of one worker that began without a place as if they had one, or takes their
    /// places when they will not give them back.
    pub(super) fn recount(
        &self,
        counted: bool,
        in_progress: impl IntoIterator<Item = (ServerId, u32)>,
    ) {
        let mut queue = self.lock();
        for (server, number) in in_progress {
            if counted {
                queue.slots.adopt(server, number);
            } else {
                queue.slots.disown(server, number);
            }
        }
    }
}

impl Queue {
    /// Takes over limits and whom servers are there for, unless a later configuration is in force or
    /// there is nothing to be limited; whether it has.
    fn take_over(&mut self, pool: &Pool, now: Instant) -> bool {
        if pool.generation < self.generation || !pool.limited && self.slots.is_empty() {
            return false;
        }
        self.generation = pool.generation;
        let servers = pool.servers.iter().zip(access(pool, now));
        let servers = servers.map(|(server, access)| {
            let admits = match access {
                Access::Open => Admits::Everybody,
                Access::KnownOnly(_) => Admits::Known,
                Access::Nobody(_) => Admits::Nobody,
            };
            (server.state.id, server.connections_max, admits)
        });
        let wakes = self.slots.update(servers);
        self.wake(wakes);
        true
    }

    fn release(&mut self, server: ServerId) {
        let wakes = self.slots.release(server);
        self.wake(wakes);
    }

    fn wake(&mut self, wakes: impl IntoIterator<Item = Wake>) {
        for wake in wakes {
            let (ticket, grant) = match wake {
                Wake::Grant(ticket, server) => (ticket, Some(server)),
                Wake::Reconsider(ticket) => (ticket, None),
            };
            if let Some(waker) = self.wakers.remove(&ticket) {
                // Who waits takes the lock before it goes, so that it is still there to receive.
                let sent = waker.grant.send(grant);
                debug_assert!(
                    sent.is_ok(),
                    "a waiting request takes its waker along when it goes"
                );
            }
        }
    }
}

impl Waiting<'_> {
    /// The server that was granted; nothing when none is left to wait for.
    pub(super) async fn granted(mut self) -> Option<ServerId> {
        let grant = (&mut self.grant).await;
        self.settled = true;
        grant.ok().flatten()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Grants are sent under this lock: either one is here already or none will come.
        let mut queue = self.limiter.lock();
        match self.grant.try_recv() {
            Ok(Some(server)) => queue.release(server),
            Ok(None) => {}
            Err(_) => {
                queue.wakers.remove(&self.ticket);
                queue.slots.leave(self.ticket);
            }
        }
    }
}
