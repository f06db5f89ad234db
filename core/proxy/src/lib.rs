//! The data plane: it moves bytes between clients and servers as a `ValidConfig` says, and knows
//! nothing of who wrote that.
//!
//! The order of the modules is the life of a connection: a listener accepts it, the connection's
//! protocol reads requests, policies and rules decide on them, persistence and balance choose a
//! server of a pool, and upstream reaches it.

pub(crate) mod persistence;

pub(crate) mod balance;
pub(crate) mod health;
pub(crate) mod pool;
pub(crate) mod telemetry;

pub use telemetry::access_log::AccessSink;
