//! A cookie that servers set, such as `ASP.NET_SessionId`: its values are remembered with the
//! server that set them. A table of this balancer alone.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lb_model::config::PassiveCookiePersistence;
use siphasher::sip128::SipHasher13;

use super::table::Table;
use super::{Access, Tag};
use crate::memory::PassiveCookieMemory;

#[derive(Debug)]
pub(super) struct PassiveCookie {
    name: Box<[u8]>,
    timeout: Duration,
    entries_max: usize,
    values: Arc<Values>,
}

/// Session identifiers are secrets and of any length: what is kept is a hash that only this balancer
/// can make, of a length at which nobody meets another's by chance.
#[derive(Debug)]
struct Values {
    secret: Secret,
    table: Table,
}

/// What makes keys of values. It is drawn when it is first needed, unless a predecessor has left its own.
#[derive(Default)]
struct Secret(OnceLock<[u64; 2]>);

impl Secret {
    fn get(&self) -> [u64; 2] {
        // Each of them is drawn from the random source of the system.
        let draw = || [(); 2].map(|()| RandomState::new().hash_one(0_u8));
        *self.0.get_or_init(draw)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl PassiveCookie {
    pub(super) fn build(model: &PassiveCookiePersistence, previous: Option<&Self>) -> Self {
        let PassiveCookiePersistence {
            name,
            timeout,
            entries_max,
            // Looked after by `Persistence`.
            fallback: _,
        } = model;
        let name: Box<[u8]> = name.as_str().as_bytes().into();
        let entries_max = usize::try_from(*entries_max).unwrap_or(usize::MAX);
        let values = previous
            .filter(|previous| previous.name == name)
            .filter(|previous| previous.values.table.can_hold(entries_max))
            .map(|previous| Arc::clone(&previous.values));
        Self {
            name,
            timeout: timeout.duration(),
            entries_max,
            values: values.unwrap_or_else(|| {
                Arc::new(Values {
                    secret: Secret::default(),
                    table: Table::new(entries_max),
                })
            }),
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many records there are.
    pub(super) fn entries(&self) -> usize {
        self.values.table.len()
    }

    /// What stands for a value in the table. An empty value is how servers delete a cookie.
    pub(super) fn key(&self, value: &[u8]) -> Option<u128> {
        let [high, low] = self.values.secret.get();
        let key = || SipHasher13::new_with_keys(high, low).hash(value).as_u128();
        (!value.is_empty()).then(key)
    }

    pub(super) fn find(&self, value: &[u8], now: Instant, access: Access) -> Option<Tag> {
        let key = self.key(value)?;
        self.values.table.find(key, self.timeout, now, access)
    }

    pub(super) fn insert(&self, key: u128, tag: Tag, now: Instant) {
        let table = &self.values.table;
        table.insert(key, tag, self.timeout, self.entries_max, now);
    }

    /// What a successor needs.
    pub(super) fn memory(&self, now: Instant) -> PassiveCookieMemory {
        PassiveCookieMemory {
            name: self.name.clone(),
            secret: self.values.secret.get(),
            records: self.values.table.records(now),
        }
    }

    /// Takes over what a predecessor has left, if it is about the same cookie and nothing is
    /// remembered yet.
    pub(super) fn recall(&self, memory: &PassiveCookieMemory, now: Instant) {
        let PassiveCookieMemory {
            name,
            secret,
            records,
        } = memory;
        let values = &self.values;
        if *name == self.name && values.secret.0.set(*secret).is_ok() {
            values
                .table
                .recall(records, self.timeout, self.entries_max, now);
        }
    }
}
