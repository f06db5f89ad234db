//! Records by key: bounded, the one used longest ago makes room, forgotten after a time without use.
//!
//! All workers share a table, so it is cut into shards with a lock each. Every shard keeps its own
//! order of use and its own part of the bound: a table may drop a record a little before it is full,
//! and what it drops is the oldest of a shard, not of all.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Access, Tag};
use crate::memory::RecordMemory;

/// The most shards, and how many records are worth one.
const SHARDS_MAX: usize = 16;
const RECORDS_PER_SHARD: usize = 64;
/// The most records dropped at once: a table whose bound was lowered shrinks step by step.
const DROPPED_MAX: usize = 64;
/// A position that is none: the end of a list.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    /// Clients choose the keys: a fixed hash would let them choose one shard and one bucket.
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard {
    positions: HashMap<u128, u32>,
    entries: Vec<Entry>,
    /// Positions in `entries` that hold nothing.
    vacant: Vec<u32>,
    newest: u32,
    oldest: u32,
}

/// A record, in a list in the order of use.
#[derive(Debug)]
struct Entry {
    key: u128,
    tag: Tag,
    used: Instant,
    newer: u32,
    older: u32,
}

impl Table {
    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .positions
                .len()
        };
        self.shards.iter().map(count).sum()
    }

    /// A table for about that many records.
    pub(super) fn new(entries_max: usize) -> Self {
        let shards = (entries_max / RECORDS_PER_SHARD).clamp(1, SHARDS_MAX);
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Whether the table can keep to this bound: each shard holds at least one record.
    pub(super) fn can_hold(&self, entries_max: usize) -> bool {
        self.shards.len() <= entries_max
    }

    /// The server of a key, unless it was not used for longer than the timeout.
    pub(super) fn find(
        &self,
        key: u128,
        timeout: Duration,
        now: Instant,
        access: Access,
    ) -> Option<Tag> {
        let (mut shard, _) = self.shard(key);
        let position = *shard.positions.get(&key)?;
        let entry = shard.entries.get(position as usize)?;
        let (tag, expired) = (entry.tag, entry.expired(timeout, now));
        match (expired, access) {
            (true, Access::Use) => shard.remove(position),
            (false, Access::Use) => shard.touch(position, now),
            (_, Access::Peek) => {}
        }
        (!expired).then_some(tag)
    }

    /// Remembers a server under a key, and makes room for it.
    pub(super) fn insert(
        &self,
        key: u128,
        tag: Tag,
        timeout: Duration,
        entries_max: usize,
        now: Instant,
    ) {
        let (mut shard, number) = self.shard(key);
        let position = shard.positions.get(&key).copied();
        if let Some(position) = position {
            if let Some(entry) = shard.entries.get_mut(position as usize) {
                entry.tag = tag;
            }
            shard.touch(position, now);
            return;
        }
        let shards = self.shards.len();
        let room = entries_max / shards + usize::from(number < entries_max % shards);
        shard.make_room(room.max(1), timeout, now);
        shard.push(key, tag, now);
    }

    /// Every record, the one used longest ago first.
    pub(super) fn records(&self, now: Instant) -> Vec<RecordMemory> {
        let mut records = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let used = |position: &u32| shard.entries.get(*position as usize);
            records.extend(shard.positions.values().filter_map(used).map(|entry| {
                let unused_for = now.saturating_duration_since(entry.used).as_millis();
                RecordMemory {
                    key: entry.key,
                    tag: entry.tag.0,
                    unused_for_ms: u64::try_from(unused_for).unwrap_or(u64::MAX),
                }
            }));
        }
        records.sort_unstable_by_key(|record| std::cmp::Reverse(record.unused_for_ms));
        records
    }

    /// Takes over records that are in the order of [`records`](Self::records).
    pub(super) fn recall(
        &self,
        records: &[RecordMemory],
        timeout: Duration,
        entries_max: usize,
        now: Instant,
    ) {
        for record in records {
            let unused_for = Duration::from_millis(record.unused_for_ms);
            // A machine that has just begun knows no earlier time.
            let Some(used) = now.checked_sub(unused_for) else {
                continue;
            };
            if unused_for <= timeout {
                self.insert(record.key, Tag(record.tag), timeout, entries_max, used);
            }
        }
    }

    fn shard(&self, key: u128) -> (MutexGuard<'_, Shard>, usize) {
        let hash = self.hasher.hash_one(key);
        let number = usize::try_from(hash % self.shards.len() as u64).unwrap_or_default();
        let shard = self.shards[number].lock();
        (shard.unwrap_or_else(PoisonError::into_inner), number)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            positions: HashMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }
}

impl Shard {
    /// Drops the oldest records until one more fits, and those that have expired, so that a table
    /// shrinks again after a rush.
    fn make_room(&mut self, room: usize, timeout: Duration, now: Instant) {
        for _ in 0..DROPPED_MAX {
            let Some(oldest) = self.entries.get(self.oldest as usize) else {
                return;
            };
            if self.positions.len() < room && !oldest.expired(timeout, now) {
                return;
            }
            self.remove(self.oldest);
        }
    }

    fn push(&mut self, key: u128, tag: Tag, now: Instant) {
        let entry = Entry {
            key,
            tag,
            used: now,
            newer: NONE,
            older: NONE,
        };
        let position = if let Some(position) = self.vacant.pop() {
            self.entries[position as usize] = entry;
            position
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        };
        self.positions.insert(key, position);
        self.link(position);
    }

    /// Makes the record the newest.
    fn touch(&mut self, position: u32, now: Instant) {
        if let Some(entry) = self.entries.get_mut(position as usize) {
            entry.used = now;
        }
        if self.newest != position {
            self.unlink(position);
            self.link(position);
        }
    }

    fn remove(&mut self, position: u32) {
        self.unlink(position);
        if let Some(entry) = self.entries.get(position as usize) {
            self.positions.remove(&entry.key);
            self.vacant.push(position);
        }
    }

    fn link(&mut self, position: u32) {
        let older = std::mem::replace(&mut self.newest, position);
        if let Some(entry) = self.entries.get_mut(position as usize) {
            (entry.newer, entry.older) = (NONE, older);
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = position,
            None => self.oldest = position,
        }
    }

    fn unlink(&mut self, position: u32) {
        let Some(entry) = self.entries.get(position as usize) else {
            return;
        };
        let (newer, older) = (entry.newer, entry.older);
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

impl Entry {
    fn expired(&self, timeout: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > timeout
    }
}
