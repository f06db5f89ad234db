//! What follows the acceptance of another protocol, such as WebSocket: bytes in both directions, maybe
//! for days. It holds nothing of the configuration under which it began.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use lb_model::value::Name;

use super::codec::RequestHead;
use super::exchange::Forward;
use super::facts::{Facts, Request};
use super::reach::Reached;
use super::{After, Connection};
use crate::pool::Held;
use crate::protocol::tunnel::{self, End};
use crate::snapshot::Tunnelling;
use crate::stream::Stream;
use crate::telemetry::access_log::ServerRecord;
use crate::upstream::ServerConnection;

/// An upgraded connection that is about to carry bytes.
pub(super) struct Upgrade {
    server: Held,
    connection: ServerConnection,
    idle: Duration,
    client: IpAddr,
    rule: Option<Name>,
    pool: Option<Name>,
    name: Option<(Name, SocketAddr)>,
    facts: Facts<'static>,
    head: RequestHead,
    bytes: Vec<u8>,
}

impl Upgrade {
    /// Gives it the request that asked for the upgrade, for the access log.
    pub(super) fn keep_request(&mut self, head: &mut RequestHead, bytes: &mut Vec<u8>) {
        std::mem::swap(&mut self.head, head);
        std::mem::swap(&mut self.bytes, bytes);
    }
}

impl<S: Stream> Connection<S> {
    /// Passes the acceptance of another protocol on.
    pub(super) async fn upgrade<'a>(
        &mut self,
        forward: &Forward<'a>,
        reached: Reached<'a>,
        head: Vec<u8>,
        facts: &mut Facts<'a>,
    ) -> After {
        if !self.write_all(&head).await {
            facts.end = "client_gone";
            return After::Close;
        }
        let timeouts = &forward.ask.service.service.timeouts;
        let mut facts = facts.clone();
        facts.bytes_sent = head.len() as u64;
        let name = facts.server.map(|s| (s.name.clone(), s.address));
        self.upgrade = Some(Box::new(Upgrade {
            server: reached.lease.into_held(),
            connection: reached.connection,
            idle: timeouts.tunnel.duration(),
            client: forward.ask.client,
            rule: facts.rule.cloned(),
            pool: facts.pool.cloned(),
            name,
            facts: facts.without_names(),
            head: RequestHead::default(),
            bytes: Vec::new(),
        }));
        After::Tunnel
    }

    /// Carries bytes in both directions, and accounts for the exchange that led there.
    pub(super) async fn carry(&mut self, upgrade: Box<Upgrade>) {
        let Upgrade {
            server,
            mut connection,
            idle,
            client: address,
            rule,
            pool,
            name,
            facts,
            head,
            bytes,
        } = *upgrade;
        let _tunnelling = Tunnelling::new(Rc::clone(&self.live));
        let Self {
            worker,
            client,
            buffer,
            deadline,
            ..
        } = self;
        let ours = End {
            stream: &mut client.stream,
            buffer,
        };
        let theirs = End {
            stream: &mut connection.stream,
            buffer: &mut connection.buffer,
        };
        let carried = tunnel::run(&worker.buffers, ours, theirs, deadline, idle).await;
        server.counters().bytes_sent.add(carried.to_server);
        server.counters().bytes_received.add(carried.to_client);
        drop(server);
        let facts = Facts {
            rule: rule.as_ref(),
            pool: pool.as_ref(),
            server: name.as_ref().map(|(name, address)| ServerRecord {
                name,
                address: *address,
            }),
            end: carried.end,
            body_received: carried.to_server,
            bytes_sent: facts.bytes_sent + carried.to_client,
            ..facts
        };
        let request = Request {
            head: &head,
            bytes: &bytes,
            client: address,
        };
        self.finish(Some(&request), &facts);
    }
}
