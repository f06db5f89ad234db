//! What the data plane counts. The only file that names metrics is `telemetry/metrics.rs`.
//!
//! Each worker writes counters of its own and nobody else writes them, so counting is a plain load
//! and store on a cache line that no other core touches; readers add the workers up.

pub(crate) mod access_log;
pub(crate) mod counter;
pub(crate) mod metrics;

pub(crate) use counter::{Counter, Histogram, PerWorker};

/// What one worker counts for one virtual service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounters {
    /// Client connections accepted.
    pub(crate) connections: Counter,
    /// Client connections that have ended; those open are the difference.
    pub(crate) connections_closed: Counter,
    /// Responses sent to clients, by the first digit of their status (index 0: none was sent).
    pub(crate) responses: [Counter; 6],
    /// Requests that the balancer refused because they were malformed, too large or too slow.
    pub(crate) refused: Counter,
    /// Requests and connections for which no server was available.
    pub(crate) unavailable: Counter,
    /// Bytes received from clients.
    pub(crate) bytes_received: Counter,
    /// Bytes sent to clients.
    pub(crate) bytes_sent: Counter,
    /// From the first byte of a request to the last byte of its response.
    pub(crate) duration: Histogram,
    /// TLS handshakes that were completed, former sessions that went on included.
    pub(crate) handshakes: Counter,
    /// Those of them with which a former session went on.
    pub(crate) handshakes_resumed: Counter,
    /// TLS handshakes that were not, by [`HandshakeFailure`].
    pub(crate) handshake_failures: [Counter; HandshakeFailure::ALL.len()],
}

/// Why a TLS handshake with a client was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    Alert,
    Certificate,
    ClientGone,
    NoCommonCipher,
    NoCommonVersion,
    NotTls,
    Protocol,
    Timeout,
    UnknownHost,
}

impl HandshakeFailure {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 9] = [
        Self::Alert,
        Self::Certificate,
        Self::ClientGone,
        Self::NoCommonCipher,
        Self::NoCommonVersion,
        Self::NotTls,
        Self::Protocol,
        Self::Timeout,
        Self::UnknownHost,
    ];

    /// One word for metrics and logs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Certificate => "certificate",
            Self::ClientGone => "client_gone",
            Self::NoCommonCipher => "no_common_cipher",
            Self::NoCommonVersion => "no_common_version",
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::UnknownHost => "unknown_host",
        }
    }
}

/// What one worker counts for one server of a pool.
#[derive(Debug, Default)]
pub(crate) struct ServerCounters {
    /// Requests (TCP: connections) that the server was chosen for.
    pub(crate) requests: Counter,
    /// Those that have ended; those in progress are the difference, which balance looks at.
    pub(crate) requests_ended: Counter,
    /// Connections opened to the server.
    pub(crate) connections: Counter,
    /// Connections that could not be opened.
    pub(crate) connect_failures: Counter,
    /// Exchanges that ended because the server closed, stalled or sent nonsense.
    pub(crate) failures: Counter,
    /// Requests that moved on to another server.
    pub(crate) retries: Counter,
    /// Responses by the first digit of their status.
    pub(crate) responses: [Counter; 6],
    /// Bytes sent to the server.
    pub(crate) bytes_sent: Counter,
    /// Bytes received from the server.
    pub(crate) bytes_received: Counter,
    /// From the request being sent to the first byte of the response.
    pub(crate) response_time: Histogram,
}
