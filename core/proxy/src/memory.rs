//! What a process that serves leaves to the one that takes its place: which server each client has,
//! and how the servers are. It is data, whatever way it goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lb_model::value::Name;
use serde::{Deserialize, Serialize};

use crate::tls::TicketMemory;

/// What is remembered of all pools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub(crate) pools: BTreeMap<Name, PoolMemory>,
    pub(crate) tickets: TicketMemory,
}

/// What is remembered of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PoolMemory {
    pub(crate) servers: BTreeMap<Name, ServerMemory>,
    pub(crate) source: Option<SourceMemory>,
    pub(crate) passive_cookie: Option<PassiveCookieMemory>,
}

/// What is remembered of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerMemory {
    /// One of the same name at another address is another one.
    pub(crate) address: SocketAddr,
    /// What probes say; nothing when none has ended.
    pub(crate) is_up: Option<bool>,
    /// Why, for people.
    pub(crate) reason: Option<String>,
    /// How much longer it is ejected, in milliseconds.
    pub(crate) ejected_for_ms: Option<u64>,
    /// How long it has been draining, in milliseconds.
    pub(crate) draining_for_ms: Option<u64>,
}

/// Records by the client's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceMemory {
    pub(crate) ipv4_mask: u128,
    pub(crate) ipv6_mask: u128,
    pub(crate) records: Vec<RecordMemory>,
}

/// Records by a cookie that servers set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassiveCookieMemory {
    pub(crate) name: Box<[u8]>,
    /// What makes keys of values.
    pub(crate) secret: [u64; 2],
    pub(crate) records: Vec<RecordMemory>,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordMemory {
    pub(crate) key: u128,
    pub(crate) tag: u64,
    /// How long ago it was used, in milliseconds.
    pub(crate) unused_for_ms: u64,
}

impl std::fmt::Debug for PassiveCookieMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PassiveCookieMemory")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}
