//! What would happen to a request, and why: the same parsing, rules, persistence and balance as for
//! real traffic, without any.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lb_model::ValidConfig;
use lb_model::config::{Protocol, Rule};
use lb_model::value::Name;
use serde::Serialize;

use crate::policy::forwarded::{self, Hop};
use crate::pool::{ClientKey, LocalPool, Pool, Server};
use crate::protocol::http::codec::RequestHead;
use crate::route::{Asked, Destination};
use crate::snapshot::{OnUnavailable, Security, Service, Snapshot};
use crate::tls::Material;

/// A request to explain.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The virtual service; may be left out when there is only one.
    pub virtual_service: Option<Name>,
    /// The address of the client.
    pub client: IpAddr,
    /// The request, as it would be sent: request line, header fields and an empty line.
    pub message: Vec<u8>,
}

/// What happens to a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The virtual service that the request reaches.
    pub virtual_service: String,
    /// The client as rules and persistence see it.
    pub client: IpAddr,
    /// The rules that were looked at, in order.
    pub rules: Vec<RuleStep>,
    /// What decides: `rule NAME`, or `the virtual service's own pool`.
    pub decided_by: String,
    /// What happens.
    pub action: String,
    /// The pool, when the request goes to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolStep>,
    /// What the client gets when no server of the pool is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_unavailable: Option<String>,
}

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleStep {
    /// Its name.
    pub name: String,
    /// Whether it matches.
    pub matches: bool,
    /// Why not; or what it contributes.
    pub because: String,
}

/// The choice of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStep {
    /// The pool.
    pub name: String,
    /// The server; none when the request would wait or none is available.
    pub server: Option<String>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Why this server.
    pub because: String,
    /// The other servers that were looked at, with the reason why each could not be chosen.
    pub candidates: Vec<CandidateStep>,
}

/// A server that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateStep {
    /// Its name.
    pub name: String,
    /// Why a new client could not get it; nothing when it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// Why a request cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// There is no such virtual service, or it is not enabled.
    #[error("there is no enabled virtual service `{0}`")]
    UnknownService(Name),
    /// There are several virtual services, and none was named.
    #[error("there are several virtual services ({0}): name one")]
    Ambiguous(String),
    /// Requests do not exist on this virtual service.
    #[error("virtual service `{0}` carries TCP connections, not requests")]
    NotHttp(Name),
    /// The request would be refused.
    #[error("the request is refused with {status}: {reason}")]
    Refused {
        /// The status of the refusal.
        status: u16,
        /// Why.
        reason: &'static str,
    },
    /// The request ends within its header.
    #[error("the request is incomplete")]
    Incomplete,
}

/// Explains what a balancer with this configuration does with a request while every server is up.
pub fn explain(
    config: &ValidConfig,
    request: &ExplainRequest,
) -> Result<Explanation, ExplainError> {
    let (material, keys) = (Material::default(), Arc::default());
    let snapshot = Snapshot::build(config.config(), &material, &keys, 1, None);
    let service = find(&snapshot, request.virtual_service.as_ref())?;
    if service.protocol != Protocol::Http {
        return Err(ExplainError::NotHttp(service.state.name.clone()));
    }
    let mut head = RequestHead::default();
    let bytes = request.message.as_slice();
    match head.parse(bytes, &service.head) {
        Ok(true) => {}
        Ok(false) => return Err(ExplainError::Incomplete),
        Err(bad) => {
            return Err(ExplainError::Refused {
                status: bad.status,
                reason: bad.reason,
            });
        }
    }
    let policy = &service.forwarded;
    let trusted = forwarded::is_trusted(policy, request.client);
    let hop = Hop {
        head: &head,
        bytes,
        peer: request.client,
        trusted,
        port: service.address.port(),
        scheme: match service.security {
            Security::Plain | Security::Redirect => "http",
            Security::Tls(_) | Security::Unusable => "https",
        },
    };
    let client = forwarded::client(policy, &hop);
    let asked = Asked {
        head: &head,
        bytes,
        client,
    };
    let decision = service.routes.decide(&asked);
    let rules = service.routes.trace(&asked).into_iter().map(step);
    let pool = match decision.destination {
        Destination::Pool(position) => pool_at(service, *position, &snapshot).map(|pool| {
            let local = LocalPool::new(Arc::clone(pool), 0);
            let name = pool.cookie_name();
            let cookie = name.and_then(|name| head.cookie(bytes, name));
            choose(&local, &ClientKey { client, cookie })
        }),
        Destination::Redirect(_) | Destination::Respond(_) | Destination::Nowhere => None,
    };
    Ok(Explanation {
        virtual_service: service.state.name.to_string(),
        client,
        rules: rules.collect(),
        decided_by: match decision.rule {
            Some(rule) => format!("rule {rule}"),
            None => "no rule: what the virtual service does with the rest".to_owned(),
        },
        action: describe(decision.destination, service),
        when_unavailable: pool.as_ref().map(|_| match &service.unavailable {
            OnUnavailable::Answer(destination) => describe(destination, service),
            OnUnavailable::Close => "the connection is closed".to_owned(),
            OnUnavailable::Refuse => "answers 503".to_owned(),
        }),
        pool,
    })
}

fn step((rule, mismatch): (&Rule, Option<&'static str>)) -> RuleStep {
    RuleStep {
        name: rule.name.to_string(),
        matches: mismatch.is_none(),
        because: match (mismatch, rule.action.is_some()) {
            (Some(reason), _) => reason.to_owned(),
            (None, true) => "all its conditions hold".to_owned(),
            (None, false) => "all its conditions hold; it edits headers and goes on".to_owned(),
        },
    }
}

fn find<'a>(snapshot: &'a Snapshot, name: Option<&Name>) -> Result<&'a Service, ExplainError> {
    match name {
        Some(name) => snapshot
            .services
            .get(name)
            .map(AsRef::as_ref)
            .ok_or_else(|| ExplainError::UnknownService(name.clone())),
        None if snapshot.services.len() == 1 => snapshot
            .services
            .values()
            .next()
            .map(AsRef::as_ref)
            .ok_or_else(|| ExplainError::Ambiguous(String::new())),
        None => {
            let names: Vec<_> = snapshot.services.keys().map(Name::as_str).collect();
            Err(ExplainError::Ambiguous(names.join(", ")))
        }
    }
}

fn choose(local: &LocalPool, key: &ClientKey<'_>) -> PoolStep {
    let explained = local.explain(key);
    let address = explained.server.as_ref().and_then(|name| {
        let found = local
            .pool()
            .servers()
            .iter()
            .find(|server| server.name() == name);
        found.map(Server::address)
    });
    PoolStep {
        name: local.pool().name().to_string(),
        server: explained.server.map(|name| name.to_string()),
        address,
        because: explained.reason,
        candidates: explained
            .candidates
            .into_iter()
            .map(|note| CandidateStep {
                name: note.name.to_string(),
                why_not: note.why_not.map(ToOwned::to_owned),
            })
            .collect(),
    }
}

fn pool_at<'a>(
    service: &Service,
    position: usize,
    snapshot: &'a Snapshot,
) -> Option<&'a Arc<Pool>> {
    snapshot.pools.get(service.pools.get(position)?)
}

fn describe(destination: &Destination, service: &Service) -> String {
    match destination {
        Destination::Pool(position) => match service.pools.get(*position) {
            Some(pool) => format!("goes to pool {pool}"),
            None => "answers 404".to_owned(),
        },
        Destination::Redirect(redirect) => {
            format!(
                "redirects with {} to {}",
                redirect.status.get(),
                redirect.location
            )
        }
        Destination::Respond(response) => format!("answers {}", response.status.get()),
        Destination::Nowhere => "answers 404: no rule is for it and there is no pool".to_owned(),
    }
}
