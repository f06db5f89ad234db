//! Who gets a place on a server with a limit. Decisions only: no lock, no clock, no wakers.
//!
//! The invariant that makes it fair: whenever a call has returned, no server has a free place that
//! somebody in the queue could take. A newcomer who finds one therefore overtakes nobody.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::ServerId;

/// The places of all servers of a pool, and the queue for them.
#[derive(Debug, Default)]
pub(in super::super) struct Slots {
    servers: FxHashMap<ServerId, Server>,
    waiting: BTreeMap<Ticket, Wants>,
    /// Those in `waiting` that take any of several servers, by arrival.
    any: BTreeSet<Ticket>,
    last: u64,
}

/// A place in the queue; lower ones came earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Wants {
    /// One of these servers, for a client that has none.
    AnyOf(Box<[ServerId]>),
    /// The server that the client has.
    Known(ServerId),
}

/// Whom a server is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Admits {
    Everybody,
    Known,
    #[default]
    Nobody,
}

/// Whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// It has a place on this server.
    Grant(Ticket, ServerId),
    /// Nothing that it waits for will come.
    Reconsider(Ticket),
}

#[derive(Debug, Default)]
struct Server {
    limit: Option<u32>,
    in_use: u32,
    admits: Admits,
    /// Those that wait for this server and no other, by arrival.
    known: BTreeSet<Ticket>,
}

impl Slots {
    /// Whether a server is below its limit.
    pub(in super::super) fn is_free(&self, server: ServerId) -> bool {
        self.servers.get(&server).is_none_or(Server::is_free)
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a place on a server that is below its limit.
    pub(in super::super) fn take(&mut self, server: ServerId) {
        let server = self.servers.entry(server).or_default();
        debug_assert!(server.is_free(), "the caller asked `is_free`");
        server.in_use += 1;
    }

    /// Gives a place back; the first that waits for it has it then.
    pub(super) fn release(&mut self, server: ServerId) -> Option<Wake> {
        let place = self.servers.get_mut(&server)?;
        place.in_use = place.in_use.saturating_sub(1);
        self.grant(server)
    }

    /// Joins the queue; nothing when it is full.
    pub(super) fn join(&mut self, wants: Wants, length_max: usize) -> Option<Ticket> {
        if self.waiting.len() >= length_max {
            return None;
        }
        self.last += 1;
        let ticket = Ticket(self.last);
        match &wants {
            Wants::AnyOf(_) => self.any.insert(ticket),
            Wants::Known(server) => self
                .servers
                .entry(*server)
                .or_default()
                .known
                .insert(ticket),
        };
        self.waiting.insert(ticket, wants);
        Some(ticket)
    }

    /// Leaves the queue.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        match self.waiting.remove(&ticket) {
            Some(Wants::AnyOf(_)) => {
                self.any.remove(&ticket);
            }
            Some(Wants::Known(server)) => {
                if let Some(server) = self.servers.get_mut(&server) {
                    server.known.remove(&ticket);
                }
            }
            None => {}
        }
    }

    /// Counts requests that began without a place as if they had one: there may then be more than
    /// the limit.
    pub(super) fn adopt(&mut self, server: ServerId, in_progress: u32) {
        let server = self.servers.entry(server).or_default();
        server.in_use = server.in_use.saturating_add(in_progress);
    }

    /// Takes the places of requests that will not give them back.
    pub(super) fn disown(&mut self, server: ServerId, in_progress: u32) {
        if let Some(server) = self.servers.get_mut(&server) {
            server.in_use = server.in_use.saturating_sub(in_progress);
        }
    }

    /// Forgets servers of which the latest update said nothing, with what is in progress on them.
    pub(super) fn forget_others(&mut self, known: impl Fn(ServerId) -> bool) {
        self.servers
            .retain(|id, server| known(*id) || !server.known.is_empty());
    }

    /// Takes over all servers of the pool, their limits and whom they admit. Others admit nobody any
    /// more and are forgotten once nothing is in progress on them. Whoever can have a place now has it.
    pub(super) fn update(
        &mut self,
        servers: impl IntoIterator<Item = (ServerId, Option<u32>, Admits)>,
    ) -> Vec<Wake> {
        for server in self.servers.values_mut() {
            server.admits = Admits::Nobody;
        }
        for (id, limit, admits) in servers {
            let server = self.servers.entry(id).or_default();
            (server.limit, server.admits) = (limit, admits);
        }
        let mut ids: Vec<ServerId> = self.servers.keys().copied().collect();
        ids.sort_unstable();
        let mut wakes = Vec::new();
        for id in ids {
            while let Some(wake) = self.grant(id) {
                wakes.push(wake);
            }
        }
        self.servers.retain(|_, server| {
            server.admits != Admits::Nobody || server.in_use > 0 || !server.known.is_empty()
        });
        wakes
    }

    /// Takes these out of the queue, whatever they wait for.
    pub(super) fn send_away(&mut self, tickets: impl IntoIterator<Item = Ticket>) -> Vec<Wake> {
        let away = tickets.into_iter().map(|ticket| {
            self.leave(ticket);
            Wake::Reconsider(ticket)
        });
        away.collect()
    }

    /// Whether nothing was ever limited here.
    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Gives a free place of a server to the first that may have it.
    fn grant(&mut self, id: ServerId) -> Option<Wake> {
        let server = self.servers.get_mut(&id)?;
        if !server.is_free() {
            return None;
        }
        let (known, any) = match server.admits {
            Admits::Everybody => (true, true),
            Admits::Known => (true, false),
            Admits::Nobody => (false, false),
        };
        let known = server.known.first().copied().filter(|_| known);
        let takes = |ticket: &&Ticket| match self.waiting.get(ticket) {
            Some(Wants::AnyOf(servers)) => servers.contains(&id),
            Some(Wants::Known(_)) | None => false,
        };
        let any = self.any.iter().find(takes).copied().filter(|_| any);
        let ticket = known.into_iter().chain(any).min()?;
        server.in_use += 1;
        self.leave(ticket);
        Some(Wake::Grant(ticket, id))
    }

    /// Takes out of the queue those whom no server admits any more.
    pub(super) fn reconsider(&mut self) -> Vec<Wake> {
        let admits = |id: &ServerId| self.servers.get(id).map_or(Admits::Nobody, |s| s.admits);
        let hopeless = |wants: &Wants| match wants {
            Wants::AnyOf(servers) => !servers.iter().any(|s| admits(s) == Admits::Everybody),
            Wants::Known(server) => admits(server) == Admits::Nobody,
        };
        let waiting = self.waiting.iter().filter(|(_, wants)| hopeless(wants));
        let tickets: Vec<Ticket> = waiting.map(|(ticket, _)| *ticket).collect();
        for ticket in &tickets {
            self.leave(*ticket);
        }
        tickets.into_iter().map(Wake::Reconsider).collect()
    }
}

impl Server {
    fn is_free(&self) -> bool {
        self.limit.is_none_or(|limit| self.in_use < limit)
    }
}
