//! QUIC (RFC 9000) as virtual services speak it: what a connection may cost, whose it is, and the secrets
//! that every worker and the next process share.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{hkdf, hmac, rand};
use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, ServerConfig,
    TransportConfig, VarInt,
};

use crate::tls::{QuicSecrets, QuicTls};

/// How many requests of one client may be in progress at a time, those included that it has broken off
/// and that are still at work.
pub(crate) const STREAMS_MAX: u32 = 100;
/// How many streams of another kind a client may have: three have a meaning, and some clients open others
/// that have none, so that nobody relies on those being all.
const ONE_WAY_STREAMS_MAX: u32 = 8;
/// How much of a body may be on its way to us and not be passed on yet, for a stream and for all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of all answers may wait to be sent or to be acknowledged: what is on its way at once over a
/// path of 100 Mbit/s and 80 ms.
const SEND_WINDOW: u64 = 1024 * 1024;
/// How often a client is reminded that the connection is in use, so that what stands between does not
/// forget it. The virtual service decides when an idle one ends.
const KEEP_ALIVE_PARTS: u32 = 3;
/// How long the transport waits longer than the virtual service, which tells the client before it ends.
const IDLE_GRACE: Duration = Duration::from_secs(5);
/// How much the handshake of one client may say out of order.
const CRYPTO_BUFFER: usize = 32 * 1024;
/// How many clients that have just come may wait to be looked at, and how much they may say meanwhile.
const INCOMING_MAX: usize = 1024;
const INCOMING_BYTES_MAX: u64 = 32 * 1024;
const INCOMING_BYTES_ALL: u64 = 4 * 1024 * 1024;
/// How long a client has for the address validation that it is asked for.
const RETRY_LIFETIME: Duration = Duration::from_secs(15);

/// How a virtual service speaks QUIC; `idle` is how long a connection may carry nothing.
pub(crate) fn server_config(
    tls: Arc<QuicTls>,
    secrets: &QuicSecrets,
    idle: Duration,
) -> Arc<ServerConfig> {
    let mut transport = TransportConfig::default();
    let timeout = IdleTimeout::try_from(idle + IDLE_GRACE).ok();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(ONE_WAY_STREAMS_MAX.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(idle / KEEP_ALIVE_PARTS))
        .max_idle_timeout(timeout.or(Some(IdleTimeout::from(VarInt::MAX))));
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secrets.token);
    let mut config = ServerConfig::new(tls, Arc::new(token_key));
    config
        .transport_config(Arc::new(transport))
        .retry_token_lifetime(RETRY_LIFETIME)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_ALL);
    Arc::new(config)
}

/// What an endpoint of one worker needs to know. A process that takes the place of this one gives the same
/// answer to datagrams of connections that it does not know: that they are no more.
pub(crate) fn endpoint_config(secrets: &QuicSecrets, place: Place) -> EndpointConfig {
    let mut config =
        EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secrets.reset)));
    config
        .supported_versions(vec![1])
        .min_reset_interval(Duration::from_millis(1))
        .cid_generator(move || Box::new(Identifiers(place)));
    config
}

/// Whose connections an endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the worker, of how many.
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    /// The number of the process.
    pub(crate) generation: u16,
}

/// How long our connection identifiers are: two bytes by which the kernel finds the worker, two that tell
/// the process, and the rest is random.
pub(crate) const IDENTIFIER: usize = 10;

/// Makes the identifiers of connections (RFC 9000 section 5.1). Connections of one worker cannot be told
/// apart by them.
struct Identifiers(Place);

impl ConnectionIdGenerator for Identifiers {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; IDENTIFIER];
        // The system gives randomness for as long as it runs; without, connections get the same
        // identifier, which the endpoint notices.
        let _filled = rand::fill(&mut bytes);
        let Self(place) = self;
        let [first, second, g0, g1, ..] = &mut bytes;
        [*first, *second] = place.steering([*first, *second]);
        [*g0, *g1] = place.generation.to_be_bytes();
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        IDENTIFIER
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

impl Place {
    /// Two bytes by which the kernel finds the worker (`listener::datagram`), as random as that allows.
    fn steering(self, random: [u8; 2]) -> [u8; 2] {
        let workers = u16::try_from(self.workers).unwrap_or(u16::MAX).max(1);
        let worker = u16::try_from(self.worker).unwrap_or(0) % workers;
        let random = u16::from_be_bytes(random);
        let start = random - random % workers;
        let value = start.checked_add(worker).unwrap_or(worker);
        value.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_finds_the_worker_in_every_identifier() {
        for workers in [1, 2, 3, 7, 64, 256, 300] {
            for worker in [0, workers / 2, workers - 1] {
                let place = Place {
                    worker,
                    workers,
                    generation: 0x1234,
                };
                for _ in 0..200 {
                    let id = Identifiers(place).generate_cid();
                    let steering = usize::from(u16::from_be_bytes([id[0], id[1]]));
                    assert_eq!(steering % workers, worker, "{id} of {workers}");
                    assert_eq!((id[2], id[3], id.len()), (0x12, 0x34, IDENTIFIER));
                }
                for random in [[0, 0], [255, 255]] {
                    let steering = usize::from(u16::from_be_bytes(place.steering(random)));
                    assert_eq!(steering % workers, worker);
                }
            }
        }
    }
}
