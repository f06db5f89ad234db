//! The data plane: it moves bytes between clients and servers as a `ValidConfig` says, and knows
//! nothing of who wrote that.
//!
//! The order of the modules is the life of a connection: a listener accepts it, the connection's
//! protocol reads requests, policies and rules decide on them, persistence and balance choose a
//! server of a pool, and upstream reaches it.

pub(crate) mod listener;

pub(crate) mod worker;

pub(crate) mod connection;

pub(crate) mod snapshot;

pub(crate) mod http2;

pub(crate) mod protocol;

pub(crate) mod policy;

pub(crate) mod route;

pub(crate) mod persistence;

pub(crate) mod balance;
pub(crate) mod health;
pub(crate) mod pool;

pub(crate) mod upstream;

pub(crate) mod buffer;
pub(crate) mod challenge;
pub(crate) mod deadline;
pub(crate) mod disposal;
pub(crate) mod error;
pub(crate) mod limit;
pub(crate) mod memory;
pub(crate) mod quic;
pub(crate) mod stream;
pub(crate) mod telemetry;
pub(crate) mod tls;

mod explain;
mod proxy;

pub use http2::{
    heard::{Heard, HeardOfServer},
    hpack::{Decoder as HpackDecoder, NotHpack},
};
/// HTTP/1.1 on the wire, for those who fuzz it.
pub use protocol::http::codec;
pub use protocol::http3::{
    heard::Heard3,
    qpack::{NotQpack, decode as decode_qpack},
};

pub use challenge::Challenges;
pub use explain::{
    CandidateStep, ExplainError, ExplainRequest, Explanation, PoolStep, RuleStep, explain,
};
pub use listener::{
    BindError, OwnSockets, SocketKind, Sockets, bind, bind_beside, bind_datagram_beside,
};
pub use memory::Memory;
pub use proxy::{Drained, Options, Prepared, Proxy, StartError};
pub use telemetry::access_log::AccessSink;
pub use tls::{AuthorityMaterial, Material};

/// TLS on the wire, for those who fuzz it.
pub use tls::{ClientHello, HELLO_MAX, NotHello};
