//! One side of TLS without I/O: rustls, which is given bytes and gives bytes.

use std::io;
use std::ops::DerefMut;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedConnectionCommon,
    UnbufferedStatus, WriteTraffic,
};
use tokio::io::ReadBuf;

use super::memory::Bytes;

/// What a record adds to what is in it, at most: header, explicit nonce, kind and tag.
const RECORD_OVERHEAD: usize = 64;
/// The most that is in one record.
const RECORD_MAX: usize = 16 * 1024;

/// One side of TLS.
pub(crate) trait Session:
    DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> + Send + 'static
{
    /// What rustls keeps for this side.
    type Data;

    /// Processes records until there is something to be done.
    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Session for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Session for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// A session and the bytes around it.
pub(super) struct Engine<C> {
    pub(super) session: Box<C>,
    /// What was received and not processed.
    pub(super) incoming: Bytes,
    /// What was decrypted and not taken.
    pub(super) plaintext: Bytes,
    /// What is to be sent.
    pub(super) outgoing: Bytes,
    /// Whether the peer has said that it will send no more.
    pub(super) peer_closed: bool,
}

/// What is to be encrypted.
#[derive(Clone, Copy)]
pub(super) enum Outbound<'a> {
    Data(&'a [u8]),
    CloseNotify,
}

/// How far a step has come.
enum Step {
    /// There may be more to do at once.
    Again,
    /// More bytes of the peer are needed to go on.
    Blocked,
    /// What was to be encrypted is in `outgoing`.
    Encrypted,
}

impl<C: Session> Engine<C> {
    pub(super) fn new(session: C) -> Self {
        Self {
            session: Box::new(session),
            incoming: Bytes::default(),
            plaintext: Bytes::default(),
            outgoing: Bytes::default(),
            peer_closed: false,
        }
    }

    /// Processes what was received, until there is nothing more to process or no more room for
    /// what is decrypted: only what is left of one record waits in `plaintext`.
    pub(super) fn process(&mut self, out: &mut ReadBuf<'_>) -> Result<(), rustls::Error> {
        let full = |out: &ReadBuf<'_>| !out.filled().is_empty() && out.remaining() == 0;
        while self.plaintext.is_empty() && !full(out) {
            match self.step(out, None) {
                Ok(Step::Again) => {}
                Ok(Step::Blocked | Step::Encrypted) => break,
                Err(error) => {
                    self.collect_alert();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Encrypts something for the peer.
    pub(super) fn encrypt(&mut self, outbound: Outbound<'_>) -> io::Result<()> {
        loop {
            // What was received and not processed comes first; there is at most one buffer of it.
            match self.step(&mut ReadBuf::new(&mut []), Some(outbound)) {
                Ok(Step::Again) => {}
                Ok(Step::Encrypted) => return Ok(()),
                Ok(Step::Blocked) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => {
                    self.collect_alert();
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
    }

    fn step(
        &mut self,
        out: &mut ReadBuf<'_>,
        outbound: Option<Outbound<'_>>,
    ) -> Result<Step, rustls::Error> {
        let Self {
            session,
            incoming,
            plaintext,
            outgoing,
            peer_closed,
        } = self;
        let UnbufferedStatus { mut discard, state } = session.process(incoming.filled_mut());
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    let (now, later) = record
                        .payload
                        .split_at(record.payload.len().min(out.remaining()));
                    out.put_slice(now);
                    plaintext.push(later);
                }
                Ok(Step::Again)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                put(&mut data, outgoing);
                Ok(Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                // It is sent from `outgoing` whenever the socket takes it.
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                *peer_closed = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => match outbound {
                None => Ok(Step::Blocked),
                Some(outbound) => seal(&mut traffic, outbound, outgoing),
            },
            // Data that comes before the handshake has ended is never allowed.
            Ok(_) => Ok(Step::Blocked),
            Err(error) => Err(error),
        };
        incoming.consume(discard);
        step
    }

    /// Puts what rustls wants the peer to know about an error into `outgoing`.
    fn collect_alert(&mut self) {
        while self.session.wants_write() {
            let UnbufferedStatus { discard: _, state } = self.session.process(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
                return;
            };
            put(&mut data, &mut self.outgoing);
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        [&self.incoming, &self.plaintext, &self.outgoing]
            .map(Bytes::memory)
            .iter()
            .sum()
    }

    /// Gives memory back that nothing needs while the connection waits.
    pub(super) fn settle(&mut self) {
        self.incoming.settle();
        self.plaintext.settle();
        self.outgoing.settle();
    }
}

/// Puts a message of TLS itself behind what is to be sent.
fn put<D>(data: &mut EncodeTlsData<'_, D>, outgoing: &mut Bytes) {
    let mut room = 0;
    loop {
        match data.encode(outgoing.room(room)) {
            Ok(count) => return outgoing.fill(count),
            Err(EncodeError::InsufficientSize(error)) => room = error.required_size,
            Err(EncodeError::AlreadyEncoded) => return,
        }
    }
}

/// Encrypts something behind what is to be sent.
fn seal<D>(
    traffic: &mut WriteTraffic<'_, D>,
    outbound: Outbound<'_>,
    outgoing: &mut Bytes,
) -> Result<Step, rustls::Error> {
    let mut room = match outbound {
        Outbound::Data(data) => data.len() + (data.len() / RECORD_MAX + 1) * RECORD_OVERHEAD,
        Outbound::CloseNotify => 2 * RECORD_OVERHEAD,
    };
    loop {
        let space = outgoing.room(room);
        let outcome = match outbound {
            Outbound::Data(data) => traffic.encrypt(data, space),
            Outbound::CloseNotify => traffic.queue_close_notify(space),
        };
        match outcome {
            Ok(count) => {
                outgoing.fill(count);
                return Ok(Step::Encrypted);
            }
            Err(EncryptError::InsufficientSize(error)) => room = error.required_size,
            Err(EncryptError::EncryptExhausted) => return Err(rustls::Error::EncryptError),
        }
    }
}
