//! A machine with Linux and systemd that is reached with the system's `ssh`.
//!
//! What is done there is done by scripts for the POSIX shell that come with the connection: nothing has to
//! be installed first, and each of them can be run again. A release is a folder, the one in force a link;
//! changing it, watching the outcome and going back is one script, so that a connection that breaks in the
//! middle leaves nothing half done.

mod connection;
mod error;
mod look;
mod observed;
mod plan;
mod quote;
mod run;
mod script;

pub(crate) use connection::Connection;
pub use error::SshError;
pub(crate) use look::look;
pub use observed::Observed;
pub(crate) use plan::{Work, plan};
pub(crate) use run::run;
