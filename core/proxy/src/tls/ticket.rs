//! Session tickets (RFC 5077, RFC 8446 section 4.6.1): a client that comes back brings its session along,
//! sealed with keys that all cores share, that change every few hours, and that the process hands over
//! to the one that takes its place.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

use super::quic::QuicSecrets;

/// How long a key seals tickets.
const SEALS_SECONDS: u64 = 6 * 3600;
/// How much longer it opens them, which is how long a ticket is good for at least.
const OPENS_SECONDS: u64 = 12 * 3600;
/// The most keys at a time: the present one, and those that still open.
const KEYS_MAX: usize = 4;
/// The longest ticket that is looked at.
const TICKET_MAX: usize = 32 * 1024;

const NAME_LEN: usize = 16;

/// The keys of the whole proxy.
#[derive(Default)]
pub(crate) struct TicketKeys {
    /// The newest first.
    keys: Mutex<Vec<Arc<Key>>>,
    quic: Mutex<Option<QuicSecrets>>,
}

struct Key {
    memory: KeyMemory,
    aead: LessSafeKey,
}

/// Keys as they are handed over. They are secrets: whoever has one reads and takes over sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketMemory {
    keys: Vec<KeyMemory>,
    #[serde(default)]
    quic: Option<QuicSecrets>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeyMemory {
    name: [u8; NAME_LEN],
    secret: [u8; 32],
    /// In seconds since 1970, so that another process counts on.
    made: u64,
}

impl fmt::Debug for KeyMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMemory")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn new(now: u64) -> Option<Self> {
        let mut memory = KeyMemory {
            name: [0; NAME_LEN],
            secret: [0; 32],
            made: now,
        };
        rand::fill(&mut memory.name).ok()?;
        rand::fill(&mut memory.secret).ok()?;
        Self::of(memory)
    }

    fn of(memory: KeyMemory) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &memory.secret).ok()?;
        Some(Self {
            memory,
            aead: LessSafeKey::new(key),
        })
    }

    fn seals(&self, now: u64) -> bool {
        now.saturating_sub(self.memory.made) < SEALS_SECONDS
    }

    fn opens(&self, now: u64) -> bool {
        now.saturating_sub(self.memory.made) < SEALS_SECONDS + OPENS_SECONDS
    }
}

impl TicketKeys {
    /// The key that seals now; nothing when the system gives no randomness.
    fn sealing(&self, now: u64) -> Option<Arc<Key>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.first().filter(|key| key.seals(now)) {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(Key::new(now)?);
        keys.insert(0, Arc::clone(&key));
        keys.truncate(KEYS_MAX);
        keys.retain(|key| key.opens(now));
        Some(key)
    }

    fn opening(&self, name: &[u8], now: u64) -> Option<Arc<Key>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.memory.name == name)?;
        key.opens(now).then(|| Arc::clone(key))
    }

    /// What another process needs to open the tickets of this one.
    pub(crate) fn memory(&self) -> TicketMemory {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let quic = self.quic.lock().unwrap_or_else(PoisonError::into_inner);
        TicketMemory {
            keys: keys.iter().map(|key| key.memory.clone()).collect(),
            quic: quic.clone(),
        }
    }

    /// Takes over the keys of another process.
    pub(crate) fn recall(&self, memory: &TicketMemory) {
        let now = now();
        let known = memory.keys.iter().take(KEYS_MAX).cloned();
        let known = known.filter_map(Key::of).filter(|key| key.opens(now));
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *keys = known.map(Arc::new).collect();
        let mut quic = self.quic.lock().unwrap_or_else(PoisonError::into_inner);
        *quic = memory.quic.as_ref().map(QuicSecrets::next);
    }

    /// What QUIC needs to be kept; nothing when the system gives no randomness.
    pub(crate) fn quic(&self) -> Option<QuicSecrets> {
        let mut quic = self.quic.lock().unwrap_or_else(PoisonError::into_inner);
        if quic.is_none() {
            *quic = QuicSecrets::new();
        }
        quic.clone()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

/// The tickets of one virtual service. Those of another one do not open here: a client that has shown no
/// certificate there must not be taken for one that has.
#[derive(Debug)]
pub(super) struct Ticketer {
    keys: Arc<TicketKeys>,
    identity: Box<[u8]>,
}

impl Ticketer {
    pub(super) fn new(keys: Arc<TicketKeys>, identity: Box<[u8]>) -> Self {
        Self { keys, identity }
    }

    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let key = self.keys.sealing(now)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_LEN + NONCE_LEN + session.len() + 16);
        ticket.extend_from_slice(&key.memory.name);
        ticket.extend_from_slice(&nonce);
        let mut sealed = session.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.aead
            .seal_in_place_append_tag(nonce, Aad::from(&self.identity), &mut sealed)
            .ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.keys.opening(name, now)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let length = key
            .aead
            .open_in_place(nonce, Aad::from(&self.identity), &mut session)
            .ok()?
            .len();
        session.truncate(length);
        Some(session)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(OPENS_SECONDS).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer(keys: &Arc<TicketKeys>, identity: &str) -> Ticketer {
        Ticketer::new(Arc::clone(keys), identity.as_bytes().into())
    }

    #[test]
    fn a_ticket_opens_for_its_service_alone_until_its_key_is_too_old() {
        let keys = Arc::new(TicketKeys::default());
        let (shop, admin) = (ticketer(&keys, "shop"), ticketer(&keys, "admin"));
        let ticket = shop.seal(b"session", 1000).unwrap();
        assert_eq!(shop.open(&ticket, 1000).unwrap(), b"session");
        assert_eq!(admin.open(&ticket, 1000), None);
        let later = 1000 + SEALS_SECONDS;
        let next = shop.seal(b"session", later).unwrap();
        assert_ne!(ticket[..NAME_LEN], next[..NAME_LEN], "the key has changed");
        assert!(shop.open(&ticket, later).is_some());
        let end = 1000 + SEALS_SECONDS + OPENS_SECONDS;
        assert!(shop.open(&ticket, end - 1).is_some());
        assert_eq!(shop.open(&ticket, end), None);
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_does_not_open() {
        let keys = Arc::new(TicketKeys::default());
        let shop = ticketer(&keys, "shop");
        let ticket = shop.seal(b"session", 1000).unwrap();
        for position in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[position] ^= 1;
            assert_eq!(shop.open(&changed, 1000), None, "{position}");
            assert_eq!(shop.open(&ticket[..position], 1000), None, "{position}");
        }
        assert_eq!(shop.open(&vec![0; TICKET_MAX + 1], 1000), None);
    }

    #[test]
    fn the_process_that_takes_over_opens_them_and_no_key_is_shown() {
        let keys = Arc::new(TicketKeys::default());
        let ticket = ticketer(&keys, "shop").seal(b"session", now()).unwrap();
        let memory = keys.memory();
        let secret = format!("{:?}", memory.keys[0].secret);
        assert!(!format!("{memory:?} {keys:?}").contains(&secret));
        let successor = Arc::new(TicketKeys::default());
        successor.recall(&memory);
        let shop = ticketer(&successor, "shop");
        assert_eq!(shop.open(&ticket, now()).unwrap(), b"session");
        assert_eq!(successor.memory(), memory);
    }
}
