//! A cookie that servers set, such as `ASP.NET_SessionId`: its values are remembered with the
//! server that set them. A table of this balancer alone.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::config::PassiveCookiePersistence;

use super::table::Table;
use super::{Access, Tag};

#[derive(Debug)]
pub(super) struct PassiveCookie {
    name: Box<[u8]>,
    timeout: Duration,
    entries_max: usize,
    values: Arc<Values>,
}

/// Session identifiers are secrets and of any length: what is kept is a hash that only this process
/// can make, of a length at which nobody meets another's by chance.
#[derive(Debug)]
struct Values {
    keys: [RandomState; 2],
    table: Table,
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
                    keys: [RandomState::new(), RandomState::new()],
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
        let [high, low] = &self.values.keys;
        let key = || u128::from(high.hash_one(value)) << 64 | u128::from(low.hash_one(value));
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
}
