//! The process that stays: it owns the listening sockets, hands them to the process that serves (the
//! worker), starts that again when it crashes, and replaces it without refusing anybody.
//!
//! It parses nothing that comes from the network and knows no document: what it does not do cannot
//! bring it down. Both ends are here: [`supervise`] for the process that stays, [`Link`] for the
//! worker.

mod link;
mod message;
mod notify;
mod sockets;
mod supervisor;
mod worker;

#[cfg(test)]
mod tests;

pub use link::{Command, Link, LinkError};
pub use sockets::Bind;
pub use supervisor::{Ended, Options, SuperviseError, supervise};
