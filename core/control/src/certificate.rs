//! Certificates with their private keys: read, judged, kept, and found for those who use them.
//!
//! What comes in is read (`pem`, `pfx`, `key`), put in order and judged as a whole. What comes out can
//! be shown to a client as it is. Private keys are in no `Debug`, log, error or answer.

mod authority;
mod chain;
mod file;
mod import;
mod judge;
mod keeper;
mod key;
mod pem;
mod pfx;
mod report;
mod request;
mod unusable;
mod vault;

pub use authority::Authority;
pub(crate) use file::read as read_file;
pub use judge::{Judged, Usable, judge};
pub use keeper::{All, Held, Keeper, Loaded, NotLoaded};
pub use key::{Key, Password};
pub use pem::{Material, Part, Parts};
pub use pfx::read_pfx;
pub use unusable::Unusable;
pub use vault::Vault;
pub(crate) use vault::is_due;

#[cfg(test)]
mod tests;
