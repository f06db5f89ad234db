//! A server for a request, and a connection to it.

use std::rc::Rc;
use std::time::Duration;

use lb_model::config::PrivateConnections;
use tokio::time::Instant;

use super::exchange::Forward;
use super::facts::Facts;
use super::{Connection, Private};
use crate::error::ProxyError;
use crate::pool::{Lease, Outcome, Refusal, ServerIndex, Tried, TryRefusal};
use crate::stream::Stream;
use crate::upstream::{Opened, ServerConnection, Upstream};

/// A server with a connection to it.
pub(super) struct Reached<'a> {
    pub(super) lease: Lease<'a>,
    pub(super) connection: ServerConnection,
    /// Whether the connection belongs to this client connection alone.
    pub(super) private: bool,
}

impl<S: Stream> Connection<S> {
    /// The private connection of this client to the pool, an idle one, or a new one. `again` is a
    /// server whose idle connection turned out to be closed: it gets a new one, which is private if
    /// that one was. Servers that do not accept a connection are passed over as far as the retry budget allows.
    pub(super) async fn reach<'a>(
        &mut self,
        forward: &Forward<'a>,
        tried: &mut Tried,
        mut again: Option<(Lease<'a>, bool)>,
        facts: &mut Facts<'a>,
    ) -> Result<Reached<'a>, ProxyError> {
        let upstream = forward.upstream;
        let local = &upstream.local;
        if local.pool().is_barred() {
            return Err(ProxyError::NoTls);
        }
        if again.is_none()
            && let Some(reached) = self.take_private(forward, tried, facts).await?
        {
            facts.server = Some(reached.lease.server().record());
            facts.reason = Some(reached.lease.reason());
            return Ok(reached);
        }
        let always = upstream.private == PrivateConnections::Always;
        let windows_auth = upstream.private == PrivateConnections::WindowsAuth;
        let was_private = again.as_ref().is_some_and(|(_, private)| *private);
        let private = always || was_private || windows_auth && forward.ask.hop.head.windows_auth;
        let terms = forward.terms(tried, private);
        let mut last_error = None;
        loop {
            let lease = match again.take() {
                Some((lease, _)) => lease,
                None => match acquire(forward, tried, facts).await {
                    Ok(lease) => lease,
                    Err(error) => return Err(last_error.unwrap_or(error)),
                },
            };
            let server = lease.server();
            facts.server = Some(server.record());
            facts.reason = Some(lease.reason());
            let idle = tried
                .trusts_idle()
                .then(|| upstream.take_idle(lease.index(), &terms));
            if let Some(connection) = idle.flatten() {
                return Ok(Reached {
                    lease,
                    connection,
                    private,
                });
            }
            let counters = server.counters().of(self.worker.index);
            let started = Instant::now();
            match Box::pin(upstream.open(&self.worker, lease.index(), &terms)).await {
                Ok(Opened { connection, is_new }) => {
                    facts.connect = Some(started.elapsed());
                    counters.connections.add(u64::from(is_new));
                    lease.report(Outcome::Connected);
                    return Ok(Reached {
                        lease,
                        connection,
                        private,
                    });
                }
                Err(error) => {
                    counters.connect_failures.add(1);
                    lease.report(Outcome::ConnectFailed);
                    tried.add(lease.index());
                    if facts.retries >= local.pool().retries() || !local.try_retry() {
                        return Err(error);
                    }
                    facts.retries += 1;
                    counters.retries.add(1);
                    last_error = Some(error);
                }
            }
        }
    }

    /// The private connection that this client has to the pool, unless its server has closed it.
    async fn take_private<'a>(
        &mut self,
        forward: &Forward<'a>,
        tried: &Tried,
        facts: &mut Facts<'a>,
    ) -> Result<Option<Reached<'a>>, ProxyError> {
        let upstream = forward.upstream;
        let found = (0..).zip(&self.private).find_map(|(found, private)| {
            let index = upstream.position(&private.server, private.index)?;
            Some((found, index))
        });
        let Some((found, index)) = found else {
            return Ok(None);
        };
        let mut private = self.private.swap_remove(found);
        let connection = &mut private.connection;
        if !tried.is_empty()
            || !connection.fits(&forward.terms(tried, true))
            || connection.is_stale()
        {
            return Ok(None);
        }
        let mut since = facts.queued_since.take();
        let held = Box::pin(upstream.local.hold(index, &mut since)).await;
        match held {
            Ok(lease) => Ok(Some(Reached {
                lease,
                connection: private.connection.into(),
                private: true,
            })),
            Err(Refusal::Superseded) => {
                // Whoever it authenticates has it again when the request is decided about anew.
                self.private.push(private);
                facts.queued_since = since;
                Err(ProxyError::Superseded)
            }
            Err(Refusal::QueueFull | Refusal::QueueTimeout | Refusal::Unavailable) => Ok(None),
        }
    }

    /// Keeps a private connection for the next request of this client.
    pub(super) fn keep_private(
        &mut self,
        upstream: &Upstream,
        index: ServerIndex,
        connection: ServerConnection,
    ) {
        let (Some(server), Some(mut connection)) =
            (upstream.local_server(index), connection.into_alone())
        else {
            return;
        };
        if self.private.len() < super::PRIVATE_MAX && server.is_open() {
            connection.reused = true;
            self.worker.note_private(&self.client.attendance);
            self.private.push(Private {
                server: Rc::clone(server),
                index,
                connection,
            });
        }
    }
}

/// A server from the pool; the clock is only read when the request has to wait for one.
async fn acquire<'a>(
    forward: &Forward<'a>,
    tried: &Tried,
    facts: &mut Facts<'a>,
) -> Result<Lease<'a>, ProxyError> {
    let local = &forward.upstream.local;
    match local.try_acquire(&forward.key, tried) {
        Ok(lease) => Ok(lease),
        Err(TryRefusal::Unavailable) => Err(ProxyError::Unavailable),
        Err(TryRefusal::AtLimit) => {
            let mut since = facts.queued_since.take();
            let outcome = Box::pin(local.wait(&forward.key, tried, &mut since)).await;
            facts.queued = Some(since.map_or(Duration::ZERO, |since| since.elapsed()));
            outcome.map_err(|refusal| {
                if refusal == Refusal::Superseded {
                    // It does not wait longer because the configuration changes.
                    facts.queued_since = since;
                }
                ProxyError::from(refusal)
            })
        }
    }
}
