//! The address of the client. A table of this balancer alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::config::SourcePersistence;

use super::table::Table;
use super::{Access, Tag};
use crate::memory::SourceMemory;

#[derive(Debug)]
pub(super) struct Source {
    timeout: Duration,
    entries_max: usize,
    ipv4_mask: u128,
    ipv6_mask: u128,
    table: Arc<Table>,
}

/// The bits of an address; an IPv4 address has the same ones in its IPv6-mapped form.
pub(crate) fn bits(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Source {
    pub(super) fn build(model: &SourcePersistence, previous: Option<&Self>) -> Self {
        let SourcePersistence {
            timeout,
            ipv4_prefix,
            ipv6_prefix,
            entries_max,
        } = model;
        let mask = |prefix: u32| u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let (ipv4_mask, ipv6_mask) = (
            mask(96 + u32::from(ipv4_prefix.get())),
            mask(u32::from(ipv6_prefix.get())),
        );
        let entries_max = usize::try_from(*entries_max).unwrap_or(usize::MAX);
        // Under other masks the old keys would stand for other clients.
        let table = previous
            .filter(|p| p.ipv4_mask == ipv4_mask && p.ipv6_mask == ipv6_mask)
            .filter(|p| p.table.can_hold(entries_max))
            .map(|p| Arc::clone(&p.table));
        Self {
            timeout: timeout.duration(),
            entries_max,
            ipv4_mask,
            ipv6_mask,
            table: table.unwrap_or_else(|| Arc::new(Table::new(entries_max))),
        }
    }

    /// How many records there are.
    pub(super) fn entries(&self) -> usize {
        self.table.len()
    }

    /// What identifies the client: the leading bits of its address.
    pub(super) fn key(&self, client: IpAddr) -> u128 {
        match client.to_canonical() {
            IpAddr::V4(_) => bits(client) & self.ipv4_mask,
            IpAddr::V6(_) => bits(client) & self.ipv6_mask,
        }
    }

    pub(super) fn find(&self, client: IpAddr, now: Instant, access: Access) -> Option<Tag> {
        self.table.find(self.key(client), self.timeout, now, access)
    }

    pub(super) fn insert(&self, key: u128, tag: Tag, now: Instant) {
        self.table
            .insert(key, tag, self.timeout, self.entries_max, now);
    }

    /// What a successor needs.
    pub(super) fn memory(&self, now: Instant) -> SourceMemory {
        SourceMemory {
            ipv4_mask: self.ipv4_mask,
            ipv6_mask: self.ipv6_mask,
            records: self.table.records(now),
        }
    }

    /// Takes over what a predecessor has left, if its keys mean the same.
    pub(super) fn recall(&self, memory: &SourceMemory, now: Instant) {
        let SourceMemory {
            ipv4_mask,
            ipv6_mask,
            records,
        } = memory;
        if (*ipv4_mask, *ipv6_mask) == (self.ipv4_mask, self.ipv6_mask) {
            self.table
                .recall(records, self.timeout, self.entries_max, now);
        }
    }
}
