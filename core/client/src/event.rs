//! The stream of events: server-sent events, read one by one.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use lb_model::api::Event;

use crate::address::Address;
use crate::connection::Connection;
use crate::error::ClientError;

/// The most bytes of one event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What happens in a balancer, from when it was asked.
#[derive(Debug)]
pub struct Events {
    address: Address,
    body: Incoming,
    received: Vec<u8>,
    /// The stream ends when its connection is let go.
    _connection: Connection,
}

impl Events {
    pub(crate) fn new(address: Address, body: Incoming, connection: Connection) -> Self {
        Self {
            address,
            body,
            received: Vec::new(),
            _connection: connection,
        }
    }

    /// Waits for the next event; there is none when the balancer ends.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            while let Some(block) = self.block() {
                if let Some(event) = self.parse(&block)? {
                    return Ok(Some(event));
                }
            }
            if self.received.len() > EVENT_BYTES_MAX {
                return Err(self.not_ours("an event that is too large"));
            }
            match self.chunk().await? {
                Some(chunk) => self.received.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(source)) => {
                    return Err(ClientError::Lost {
                        address: self.address.clone(),
                        may_be_done: false,
                        source,
                    });
                }
            }
        }
    }

    /// Takes what came before the next empty line.
    fn block(&mut self) -> Option<Vec<u8>> {
        let end = self.received.windows(2).position(|pair| pair == b"\n\n")?;
        let rest = self.received.split_off(end + 2);
        Some(std::mem::replace(&mut self.received, rest))
    }

    /// The event of a block; comments that keep the connection alive have none.
    fn parse(&self, block: &[u8]) -> Result<Option<Event>, ClientError> {
        let text = std::str::from_utf8(block);
        let text = text.map_err(|_| self.not_ours("an event that is not text"))?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let json: String = lines.map(str::trim_start).collect();
        if json.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&json)
            .map(Some)
            .map_err(|error| self.not_ours(format!("an event that cannot be read: {error}")))
    }

    fn not_ours(&self, reason: impl Into<String>) -> ClientError {
        ClientError::NotOurs {
            address: self.address.clone(),
            reason: reason.into(),
        }
    }
}
