//! Which server a client had, and how that is remembered: in a cookie of the balancer's, by a cookie
//! of the servers', or by the client's address.
//!
//! Records name servers by [`Tag`], so that they outlive a change of the configuration. Whether the
//! server of a record may still be used is the pool's to say.

use std::net::IpAddr;
use std::time::Instant;

use lb_model::config::{Persistence as Model, SourcePersistence};
use lb_model::value::Name;

mod cookie;
mod passive_cookie;
mod source;
mod table;

#[cfg(test)]
mod tests;

use cookie::Cookie;
use passive_cookie::PassiveCookie;
use source::Source;
pub(crate) use source::bits;

use crate::balance::hash::stable;
use crate::memory::PoolMemory;

/// What identifies a client in one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientKey<'a> {
    /// Where the client is.
    pub(crate) client: IpAddr,
    /// The value of the cookie that [`Persistence::cookie_name`] names, if the request has it.
    pub(crate) cookie: Option<&'a [u8]>,
}

/// A stable name for a server, which tells outsiders nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(u64);

/// The persistence of a running pool.
#[derive(Debug)]
pub(crate) struct Persistence {
    by_cookie: Option<ByCookie>,
    /// The only way, or the fallback of a cookie.
    source: Option<Source>,
}

#[derive(Debug)]
enum ByCookie {
    Own(Cookie),
    Passive(PassiveCookie),
}

/// What a record was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The balancer's own cookie.
    Cookie,
    /// A cookie that a server set.
    PassiveCookie,
    /// The client's address.
    Source,
}

/// What shall be remembered once a server has taken the request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    passive_cookie: Option<u128>,
    source: Option<u128>,
}

impl Persistence {
    /// The persistence that the model describes. Tables of `previous` go on when their keys still
    /// mean the same.
    pub(crate) fn build(model: &Model, previous: Option<&Self>) -> Self {
        let source = |model: &Option<SourcePersistence>| {
            let previous = previous.and_then(|p| p.source.as_ref());
            model.as_ref().map(|model| Source::build(model, previous))
        };
        match model {
            Model::Cookie(model) => Self {
                by_cookie: Some(ByCookie::Own(Cookie::build(model))),
                source: source(&model.fallback),
            },
            Model::PassiveCookie(model) => {
                let previous = match previous.and_then(|p| p.by_cookie.as_ref()) {
                    Some(ByCookie::Passive(previous)) => Some(previous),
                    Some(ByCookie::Own(_)) | None => None,
                };
                Self {
                    by_cookie: Some(ByCookie::Passive(PassiveCookie::build(model, previous))),
                    source: source(&model.fallback),
                }
            }
            Model::Source(model) => Self {
                by_cookie: None,
                source: source(&Some(model.clone())),
            },
        }
    }

    /// The cookie whose value identifies a client.
    pub(crate) fn cookie_name(&self) -> Option<&[u8]> {
        match self.by_cookie.as_ref()? {
            ByCookie::Own(cookie) => Some(cookie.name()),
            ByCookie::Passive(cookie) => Some(cookie.name()),
        }
    }

    /// Whether servers set the cookie, so that responses must be looked at.
    pub(crate) const fn learns(&self) -> bool {
        matches!(self.by_cookie, Some(ByCookie::Passive(_)))
    }

    /// The whole `Set-Cookie` line that brings a client back to a server.
    pub(crate) fn set_cookie(&self, tag: Tag) -> Option<Box<[u8]>> {
        match self.by_cookie.as_ref()? {
            ByCookie::Own(cookie) => Some(cookie.set_cookie(tag)),
            ByCookie::Passive(_) => None,
        }
    }

    /// The address of a client as far as it identifies one.
    pub(crate) fn mask(&self, client: IpAddr) -> u128 {
        let whole = || bits(client);
        self.source.as_ref().map_or_else(whole, |s| s.key(client))
    }

    /// The server of a client's record. The cookie decides if it is there and known, the address
    /// otherwise. `known` finds the server of a tag; `now` is asked only where a table is.
    pub(crate) fn find<S>(
        &self,
        key: &ClientKey<'_>,
        now: impl Fn() -> Instant,
        access: Access,
        known: impl Fn(Tag) -> Option<S>,
    ) -> Option<(S, Found)> {
        let by_cookie = || {
            let (tag, found) = match (self.by_cookie.as_ref()?, key.cookie?) {
                (ByCookie::Own(_), value) => (Cookie::read(value)?, Found::Cookie),
                (ByCookie::Passive(cookie), value) => {
                    (cookie.find(value, now(), access)?, Found::PassiveCookie)
                }
            };
            Some((known(tag)?, found))
        };
        let by_source = || {
            let tag = self.source.as_ref()?.find(key.client, now(), access)?;
            Some((known(tag)?, Found::Source))
        };
        by_cookie().or_else(by_source)
    }

    /// Notes what a successor needs.
    pub(crate) fn note(&self, memory: &mut PoolMemory, now: Instant) {
        memory.source = self.source.as_ref().map(|source| source.memory(now));
        if let Some(ByCookie::Passive(cookie)) = &self.by_cookie {
            memory.passive_cookie = Some(cookie.memory(now));
        }
    }

    /// Takes over what a predecessor has left. Called before anything is remembered here.
    pub(crate) fn recall(&self, memory: &PoolMemory, now: Instant) {
        if let (Some(source), Some(memory)) = (&self.source, &memory.source) {
            source.recall(memory, now);
        }
        if let (Some(ByCookie::Passive(cookie)), Some(memory)) =
            (&self.by_cookie, &memory.passive_cookie)
        {
            cookie.recall(memory, now);
        }
    }

    /// Whether there is something to remember.
    pub(crate) const fn has_table(&self) -> bool {
        self.source.is_some() || self.learns()
    }

    /// How many clients are remembered, those whose time is over included until they make room.
    pub(crate) fn entries(&self) -> usize {
        let passive = match self.by_cookie.as_ref() {
            Some(ByCookie::Passive(cookie)) => cookie.entries(),
            Some(ByCookie::Own(_)) | None => 0,
        };
        passive + self.source.as_ref().map_or(0, Source::entries)
    }

    /// What to remember of a client that has no usable record.
    pub(crate) fn record(&self, key: &ClientKey<'_>) -> Record {
        let passive_cookie = match self.by_cookie.as_ref() {
            Some(ByCookie::Passive(cookie)) => key.cookie.and_then(|value| cookie.key(value)),
            Some(ByCookie::Own(_)) | None => None,
        };
        let source = self.source.as_ref().map(|source| source.key(key.client));
        Record {
            passive_cookie,
            source,
        }
    }

    /// Remembers the server of a client, in place of any other.
    pub(crate) fn remember(&self, record: &Record, tag: Tag, now: Instant) {
        if let (Some(ByCookie::Passive(cookie)), Some(key)) =
            (self.by_cookie.as_ref(), record.passive_cookie)
        {
            cookie.insert(key, tag, now);
        }
        if let (Some(source), Some(key)) = (self.source.as_ref(), record.source) {
            source.insert(key, tag, now);
        }
    }

    /// Remembers the server that set this value of the cookie.
    pub(crate) fn learn(&self, value: &[u8], tag: Tag, now: Instant) {
        if let Some(ByCookie::Passive(cookie)) = self.by_cookie.as_ref()
            && let Some(key) = cookie.key(value)
        {
            cookie.insert(key, tag, now);
        }
    }
}

/// Whether a lookup counts as use of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks, for explanations.
    Peek,
    /// It keeps the record alive.
    Use,
}

impl Tag {
    /// The tags of a pool's servers, in the order of the servers. They depend on nothing but the
    /// names: every balancer, also after a restart, comes to the same.
    pub(crate) fn of_servers<'a>(
        pool: &Name,
        servers: impl IntoIterator<Item = &'a Name>,
    ) -> Vec<Self> {
        let mut tags: Vec<Self> = Vec::new();
        for server in servers {
            let candidates = (0_u64..).map(|attempt| {
                let names = [pool.as_str().as_bytes(), server.as_str().as_bytes()];
                Self(stable(&[names[0], names[1], &attempt.to_be_bytes()]))
            });
            // Two names in 2^64 may collide; then the later one takes its next hash.
            tags.extend(candidates.into_iter().find(|tag| !tags.contains(tag)));
        }
        tags
    }
}
