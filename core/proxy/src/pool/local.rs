//! A pool as one worker sees it: the choice of a server for a request.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lease::{Lease, Reason};
use super::limiter::{Slots, Waiting, Wants};
use super::retry_budget::RetryBudget;
use super::server::{Access, Server, ServerId};
use super::view::View;
use super::{ClientKey, Pool, PoolState, ServerIndex, ServerState, Tried, now};
use crate::balance::random::Random;
use crate::balance::{Cursor, Field, coin, pick};
use crate::error::ProxyError;
use crate::persistence::{Access as Use, Found};

/// A pool as one worker sees it.
#[derive(Debug)]
pub(crate) struct LocalPool {
    pool: Arc<Pool>,
    worker: usize,
    view: RefCell<View>,
    random: Random,
    retry_budget: RetryBudget,
    /// Which candidates take part in the present pick; kept for its memory.
    taking_part: RefCell<Vec<bool>>,
}

/// Why a request gets no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Every server that could take it is at its limit, and as many requests wait as may.
    #[error("every server is at its limit and the queue is full")]
    QueueFull,
    /// Every server that could take it stayed at its limit for too long.
    #[error("no server came below its limit in time")]
    QueueTimeout,
    /// The pool has another configuration now: the request has to be decided about anew.
    #[error("the configuration has changed")]
    Superseded,
    /// No server is there.
    #[error("no server is available")]
    Unavailable,
}

/// Why a request gets no server at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TryRefusal {
    /// Every server that could take it is at its limit: [`LocalPool::acquire`] waits for one.
    AtLimit,
    /// No server is there.
    Unavailable,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this server.
    At(ServerIndex, Reason),
    /// To this server, which a record names, but it is at its limit.
    Full(Option<(ServerIndex, Found)>),
    /// Nowhere.
    Nowhere,
}

impl From<Refusal> for ProxyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable => Self::Unavailable,
            Refusal::QueueFull => Self::QueueFull,
            Refusal::QueueTimeout => Self::QueueTimeout,
            Refusal::Superseded => Self::Superseded,
        }
    }
}

/// What a decision draws on besides the request.
#[derive(Clone, Copy)]
pub(super) struct Draw<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) random: &'a Random,
    pub(super) slots: Option<&'a Slots>,
}

/// The key of a request that is placed without one: nothing is remembered of it.
const NOBODY: ClientKey<'static> = ClientKey {
    client: std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    cookie: None,
};

impl LocalPool {
    /// Goes on with the retries that the former configuration has saved up.
    pub(crate) fn inherit(&self, previous: &Self) {
        self.retry_budget.inherit(&previous.retry_budget);
    }

    /// The pool as this worker will see it. It may be made on any thread, and changes nothing.
    pub(crate) fn new(pool: Arc<Pool>, worker: usize) -> Self {
        Self {
            // The first request makes one that holds.
            view: RefCell::new(View::none()),
            random: Random::new(),
            retry_budget: RetryBudget::new(pool.retry_budget_percent),
            taking_part: RefCell::default(),
            pool,
            worker,
        }
    }

    pub(super) const fn worker(&self) -> usize {
        self.worker
    }

    /// The pool that all workers share.
    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The worker goes over to this configuration of the pool, on its own thread. From here on all
    /// that it has in progress is counted against limits, or nothing is.
    pub(crate) fn enter(&self) {
        let counted = self.pool.state.counted.of(self.worker);
        if counted.load(Ordering::Relaxed) == self.pool.limited {
            return;
        }
        counted.store(self.pool.limited, Ordering::Relaxed);
        let in_progress = |server: &Server| {
            let counters = server.state.counters.of(self.worker);
            let number = counters.requests.get() - counters.requests_ended.get();
            (number > 0).then(|| (server.state.id, u32::try_from(number).unwrap_or(u32::MAX)))
        };
        let in_progress = self.pool.servers.iter().filter_map(in_progress);
        let limiter = &self.pool.state.limiter;
        limiter.recount(self.pool.limited, in_progress);
    }

    /// Whether this worker counts what is in progress against limits.
    fn is_counted(&self) -> bool {
        let counted = self.pool.state.counted.of(self.worker);
        counted.load(Ordering::Relaxed)
    }

    /// A server for a request that has not waited yet.
    #[cfg(test)]
    pub(crate) async fn acquire(
        &self,
        key: &ClientKey<'_>,
        tried: &Tried,
    ) -> Result<Lease<'_>, Refusal> {
        self.acquire_since(key, tried, &mut None).await
    }

    /// A server for a request, if need be after waiting in the queue. Each attempt names the servers
    /// that were tried before. `since` is when the request began to wait, also if that was under an
    /// earlier configuration.
    pub(crate) async fn acquire_since<'a>(
        &'a self,
        key: &ClientKey<'_>,
        tried: &Tried,
        since: &mut Option<Instant>,
    ) -> Result<Lease<'a>, Refusal> {
        match self.try_acquire(key, tried) {
            Ok(lease) => Ok(lease),
            Err(TryRefusal::Unavailable) => Err(Refusal::Unavailable),
            // Boxed: the future of a request that does not wait stays small.
            Err(TryRefusal::AtLimit) => Box::pin(self.wait(key, tried, since)).await,
        }
    }

    /// A server for a request, without waiting.
    pub(crate) fn try_acquire(
        &self,
        key: &ClientKey<'_>,
        tried: &Tried,
    ) -> Result<Lease<'_>, TryRefusal> {
        if tried.is_empty() {
            self.retry_budget.deposit();
        }
        let pinned = self.pinned(key, tried, Use::Use);
        let place = if self.is_counted() {
            let mut queue = self.pool.state.limiter.lock();
            let place = self.place(pinned, key, tried, &self.draw(Some(&queue.slots)));
            if let Place::At(index, _) = place {
                queue.slots.take(self.id(index));
            }
            place
        } else {
            self.place(pinned, key, tried, &self.draw(None))
        };
        match place {
            Place::At(index, reason) => Ok(self.lease(index, reason, key)),
            Place::Full(_) => Err(TryRefusal::AtLimit),
            Place::Nowhere => Err(TryRefusal::Unavailable),
        }
    }

    /// Whether the budget has a retry left; it is taken.
    pub(crate) fn try_retry(&self) -> bool {
        self.retry_budget.withdraw()
    }

    /// Remembers that a server set this value of the cookie that identifies clients.
    pub(crate) fn learn(&self, value: &[u8], server: ServerIndex) {
        if let Some(persistence) = &self.pool.persistence {
            persistence.learn(value, self.pool.server(server).tag, now());
        }
    }

    /// A request has ended.
    pub(super) fn end(&self, index: ServerIndex) {
        end(
            &self.pool.state,
            &self.pool.server(index).state,
            self.worker,
        );
    }

    /// The server to which the client has a connection of its own, if need be after waiting until it
    /// is below its limit. A refusal other than [`Refusal::Superseded`] means that it may not be used
    /// any more.
    pub(crate) async fn hold(
        &self,
        index: ServerIndex,
        since: &mut Option<Instant>,
    ) -> Result<Lease<'_>, Refusal> {
        self.refresh();
        match self.access(index) {
            Access::Open | Access::KnownOnly(_) => {}
            Access::Nobody(_) => return Err(Refusal::Unavailable),
        }
        if self.is_counted() {
            let id = self.id(index);
            let waiting = {
                let mut queue = self.pool.state.limiter.lock();
                if queue.slots.is_free(id) {
                    queue.slots.take(id);
                    None
                } else {
                    let limiter = &self.pool.state.limiter;
                    let waiting = limiter.join(queue, Wants::Known(id), &self.pool);
                    Some(waiting.ok_or(Refusal::QueueFull)?)
                }
            };
            if let Some(waiting) = waiting {
                let granted = self.granted(waiting, since).await?;
                granted.ok_or(Refusal::Unavailable)?;
            }
        }
        Ok(self.lease(index, Reason::Private, &NOBODY))
    }

    /// Waits for a place, no longer than the queue allows since the request first waited in it; none
    /// when there is no server left to wait for.
    async fn granted(
        &self,
        waiting: Waiting<'_>,
        since: &mut Option<Instant>,
    ) -> Result<Option<ServerIndex>, Refusal> {
        let since = *since.get_or_insert_with(now);
        let deadline = since + self.pool.queue.timeout.duration();
        let granted = tokio::time::timeout_at(deadline.into(), waiting.granted())
            .await
            .map_err(|_| Refusal::QueueTimeout)?;
        let Some(id) = granted else {
            return if self.pool.is_superseded() {
                Err(Refusal::Superseded)
            } else {
                Ok(None)
            };
        };
        if !self.is_counted() {
            // Limits were given up between the grant and now: nobody would give the place back.
            self.pool.state.limiter.release(id);
        }
        Ok(self.index(id))
    }

    /// Waits until a server that could take the request is below its limit. `since` is when the
    /// request began to wait, also if that was under an earlier configuration.
    pub(crate) async fn wait<'a>(
        &'a self,
        key: &ClientKey<'_>,
        tried: &Tried,
        since: &mut Option<Instant>,
    ) -> Result<Lease<'a>, Refusal> {
        loop {
            let pinned = self.pinned(key, tried, Use::Use);
            let (reason, waiting) = {
                let mut queue = self.pool.state.limiter.lock();
                let draw = self.draw(Some(&queue.slots));
                let wants = match self.place(pinned, key, tried, &draw) {
                    Place::At(index, reason) => {
                        if self.is_counted() {
                            queue.slots.take(self.id(index));
                        }
                        return Ok(self.lease(index, reason, key));
                    }
                    Place::Nowhere => return Err(Refusal::Unavailable),
                    Place::Full(Some((index, _))) => Wants::Known(self.id(index)),
                    Place::Full(None) => Wants::AnyOf(self.ids(tried)),
                };
                let reason = pinned.map(|(_, found)| Reason::Persistence(found));
                let waiting = self.pool.state.limiter.join(queue, wants, &self.pool);
                (reason, waiting.ok_or(Refusal::QueueFull)?)
            };
            // Without a grant, no server is left that it waited for: decide again.
            if let Some(index) = self.granted(waiting, since).await? {
                let reason = reason.unwrap_or(Reason::Balance(self.pool.balance));
                return Ok(self.lease(index, reason, key));
            }
        }
    }

    /// The request has the server from now on; its place is already taken.
    fn lease(&self, index: ServerIndex, reason: Reason, key: &ClientKey<'_>) -> Lease<'_> {
        let counters = &self.pool.server(index).state.counters;
        counters.of(self.worker).requests.add(1);
        let tables = self.pool.persistence.as_ref().filter(|p| p.has_table());
        let record = match reason {
            Reason::Balance(_) => tables.map(|tables| Box::new(tables.record(key))),
            Reason::Persistence(_) | Reason::Private => None,
        };
        Lease {
            local: self,
            index,
            reason,
            record,
        }
    }

    fn draw<'a>(&'a self, slots: Option<&'a Slots>) -> Draw<'a> {
        Draw {
            cursor: Cursor::Take(&self.pool.state.turn),
            random: &self.random,
            slots,
        }
    }

    fn id(&self, index: ServerIndex) -> ServerId {
        self.pool.server(index).state.id
    }

    fn index(&self, id: ServerId) -> Option<ServerIndex> {
        let servers = &self.pool.servers;
        let position = servers.iter().position(|server| server.state.id == id)?;
        Some(ServerIndex::new(position))
    }

    /// Those that a request of a new client could still take, whenever they are there.
    fn ids(&self, tried: &Tried) -> Box<[ServerId]> {
        let servers = self.pool.servers.iter().enumerate();
        servers
            .filter(|(position, _)| !tried.contains(ServerIndex::new(*position)))
            .map(|(_, server)| server.state.id)
            .collect()
    }

    pub(super) const fn random(&self) -> &Random {
        &self.random
    }

    /// Whom a server is there for.
    pub(super) fn access(&self, index: ServerIndex) -> Access {
        self.view.borrow().access(index)
    }

    /// The server of the client's record, if it may still be used.
    pub(super) fn pinned(
        &self,
        key: &ClientKey<'_>,
        tried: &Tried,
        access: Use,
    ) -> Option<(ServerIndex, Found)> {
        let persistence = self.pool.persistence.as_ref()?;
        self.refresh();
        let known = |tag| self.pool.by_tag.get(&tag).copied();
        let (index, found) = persistence.find(key, now, access, known)?;
        let usable = match self.view.borrow().access(index) {
            Access::Open | Access::KnownOnly(_) => !tried.contains(index),
            Access::Nobody(_) => false,
        };
        usable.then_some((index, found))
    }

    /// Where a request goes.
    pub(super) fn place(
        &self,
        pinned: Option<(ServerIndex, Found)>,
        key: &ClientKey<'_>,
        tried: &Tried,
        draw: &Draw<'_>,
    ) -> Place {
        if let Some((index, found)) = pinned {
            return match draw.slots {
                Some(slots) if !slots.is_free(self.id(index)) => Place::Full(pinned),
                Some(_) | None => Place::At(index, Reason::Persistence(found)),
            };
        }
        self.refresh();
        let view = self.view.borrow();
        let mut taking_part = self.taking_part.borrow_mut();
        let plain = tried.is_empty() && draw.slots.is_none() && view.warming.is_empty();
        let client = self.pool.client(key.client);
        if !plain {
            taking_part.clear();
            taking_part.extend(view.candidates.iter().map(|candidate| {
                let free = |slots: &Slots| slots.is_free(self.id(candidate.index));
                !tried.contains(candidate.index) && draw.slots.is_none_or(free)
            }));
            if !taking_part.contains(&true) {
                let full = view.candidates.iter().any(|c| !tried.contains(c.index));
                return if full {
                    Place::Full(None)
                } else {
                    Place::Nowhere
                };
            }
            self.leave_out_cold(&view, &mut taking_part, client, draw.random);
        }
        let field = Field {
            candidates: &view.candidates,
            turns: &view.turns,
            taking_part: (!plain).then_some(taking_part.as_slice()),
            cursor: draw.cursor,
            random: draw.random,
            client,
            load: &|index| self.pool.server(index).load(),
        };
        pick(self.pool.balance, &field).map_or(Place::Nowhere, |index| {
            Place::At(index, Reason::Balance(self.pool.balance))
        })
    }

    /// Leaves out servers in slow start, each as often as a part of it is still to come; unless
    /// nobody would be left.
    fn leave_out_cold(&self, view: &View, parts: &mut [bool], client: u128, random: &Random) {
        let Some(slow_start) = self.pool.slow_start.filter(|_| !view.warming.is_empty()) else {
            return;
        };
        let now = now();
        let cold = |(position, since): &(usize, Instant)| {
            let warm = now
                .saturating_duration_since(*since)
                .div_duration_f64(slow_start);
            let candidate = view.candidates.get(*position)?;
            (coin(self.pool.balance, client, candidate, random) >= warm).then_some(*position)
        };
        let left_out: Vec<usize> = view.warming.iter().filter_map(cold).collect();
        let stays = |(position, part): (usize, &bool)| *part && !left_out.contains(&position);
        if parts.iter().enumerate().any(stays) {
            for position in left_out {
                parts[position] = false;
            }
        }
    }

    /// Makes the view anew if it no longer holds.
    fn refresh(&self) {
        if self.view.borrow().holds(&self.pool, now) {
            return;
        }
        let now = now();
        self.pool.end_ejections(now);
        self.view.replace(View::new(&self.pool, now));
    }
}

/// A request of this worker has ended.
pub(super) fn end(pool: &PoolState, server: &ServerState, worker: usize) {
    server.counters.of(worker).requests_ended.add(1);
    if pool.counted.of(worker).load(Ordering::Relaxed) {
        pool.limiter.release(server.id);
    }
}
