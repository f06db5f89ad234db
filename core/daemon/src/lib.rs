//! The program that serves: limits of the process, state directory, access log, metrics and signals
//! around a running [`lb_proxy::Proxy`].
//!
//! It decides nothing about traffic. The thread that calls [`Daemon::run`] is the control thread:
//! stopping or slowing it stops no traffic.

/// Where a request would go, and why: the data plane's own answer.
pub use lb_proxy::{ExplainError, ExplainRequest, Explanation, PoolStep, RuleStep, explain};

mod access_log;
mod daemon;
mod descriptors;
pub mod log;
mod metrics;
mod process;
mod state_dir;

pub use access_log::OpenLogError;
pub use daemon::{Daemon, Ended, Options, StartError, workers_default};
pub use descriptors::DescriptorsError;
pub use state_dir::StateDirError;
