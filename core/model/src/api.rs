//! What the admin API says and hears, as types: the server, the client and the OpenAPI document are
//! made from them. They hold what is true for every caller and nothing of how it is carried.
//!
//! The nouns of the document are not here: they are [`config`](crate::config).

mod access;
mod revision;
mod timestamp;

pub use access::Role;
pub use revision::{Revision, Source};
pub use timestamp::Timestamp;
