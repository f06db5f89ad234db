//! The program that serves: limits of the process, state directory, access log, metrics and signals
//! around a running [`lb_proxy::Proxy`].
//!
//! It decides nothing about traffic. The thread that calls [`Daemon::run`] is the control thread:
//! stopping or slowing it stops no traffic.

/// Where a request would go, and why: the data plane's own answer.
pub use lb_proxy::{ExplainError, ExplainRequest, Explanation, PoolStep, RuleStep, explain};

/// The process that keeps the sockets, and starts the one that serves.
pub use lb_supervisor::{LinkError, Options as SupervisorOptions, SuperviseError, supervise};

/// How a supervisor binds what its workers listen on.
pub const BIND: lb_supervisor::Bind = lb_supervisor::Bind {
    internet: lb_proxy::bind_beside,
    datagram: lb_proxy::bind_datagram_beside,
    unix: lb_control::api::bind_socket,
};

/// What is remembered of the file of the document, and whether there is a history already.
pub use lb_control::{Digest, file_digest, has_history};

mod access_log;
mod certificate;
mod control;
mod daemon;
mod descriptors;
mod hand_over;
pub mod log;
mod metrics;
mod orders;
mod process;
mod running;
mod serving;
mod sockets;
mod state_dir;

pub use access_log::OpenLogError;
pub use daemon::{
    Daemon, DocumentFile, Ended, Options, Reread, StartError, Taken, workers_default,
};
pub use descriptors::DescriptorsError;
pub use orders::Supervised;
pub use state_dir::StateDirError;
