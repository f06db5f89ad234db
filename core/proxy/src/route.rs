//! Rules compiled for matching: the first that matches and has an action decides where a request
//! goes; those before it that matched without one contribute their header edits.

use std::net::IpAddr;

use lb_model::config::{Action, HeaderMatch, Match, PathMatch, Rule, VirtualService};
use lb_model::config::{FixedResponse, Redirect};
use lb_model::value::{AlpnName, Name};

use crate::policy::header::Edits;
use crate::protocol::http::codec::RequestHead;
use crate::tls::ClientHello;

/// The longest host that a rule can name (RFC 1035 section 2.3.4).
const HOST_MAX: usize = 255;

/// The rules of one virtual service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    rules: Vec<CompiledRule>,
    fallback: Destination,
    by_host: bool,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    rule: Rule,
    destination: Option<Destination>,
}

/// Where a request goes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Destination {
    /// A pool, by its position among those that the virtual service uses.
    Pool(usize),
    Redirect(Redirect),
    Respond(FixedResponse),
    /// No rule decides, and there is no pool for the rest.
    #[default]
    Nowhere,
}

/// What the rules decided.
#[derive(Debug)]
pub(crate) struct Decision<'a> {
    /// The rule that decided; none when the virtual service's own pool did.
    pub(crate) rule: Option<&'a Name>,
    pub(crate) destination: &'a Destination,
    pub(crate) request_edits: Edits<'a>,
    pub(crate) response_edits: Edits<'a>,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) bytes: &'a [u8],
    pub(crate) client: IpAddr,
}

impl Destination {
    /// A pool by its name, among those that the virtual service uses, in the order of their names.
    pub(crate) fn pool(name: &Name, pools: &[Name]) -> Self {
        pools.binary_search(name).map_or(Self::Nowhere, Self::Pool)
    }
}

impl Routes {
    /// Compiles the rules of a virtual service; `position` finds a pool.
    pub(crate) fn compile(
        service: &VirtualService,
        position: impl Fn(&Name) -> Destination,
    ) -> Self {
        let compile = |rule: &Rule| CompiledRule {
            rule: rule.clone(),
            destination: rule.action.as_ref().map(|action| match action {
                Action::Pool(name) => position(name),
                Action::Redirect(redirect) => Destination::Redirect(redirect.clone()),
                Action::Respond(response) => Destination::Respond(response.clone()),
            }),
        };
        Self {
            rules: service.rules.iter().map(compile).collect(),
            fallback: service
                .pool
                .as_ref()
                .map_or(Destination::Nowhere, &position),
            by_host: service
                .rules
                .iter()
                .any(|rule| !rule.matches.host.is_empty()),
        }
    }

    /// Decides about a request.
    pub(crate) fn decide<'a>(&'a self, asked: &Asked<'_>) -> Decision<'a> {
        let mut decision = Decision {
            rule: None,
            destination: &self.fallback,
            request_edits: Edits::default(),
            response_edits: Edits::default(),
        };
        let mut lower = [0_u8; HOST_MAX];
        let host = if self.by_host {
            lower_case(asked.head.host(asked.bytes), &mut lower)
        } else {
            &[]
        };
        for CompiledRule { rule, destination } in &self.rules {
            if mismatch(&rule.matches, asked, host).is_some() {
                continue;
            }
            decision.request_edits.push(&rule.request_headers);
            decision.response_edits.push(&rule.response_headers);
            if let Some(destination) = destination {
                decision.rule = Some(&rule.name);
                decision.destination = destination;
                break;
            }
        }
        decision
    }

    /// Decides about a connection of which the client is known, and what it says first when TLS is
    /// passed through. `validate` lets the rules of such a service look at nothing else.
    pub(crate) fn decide_connection(
        &self,
        client: IpAddr,
        hello: Option<&ClientHello>,
    ) -> (Option<&Name>, &Destination) {
        let host = hello.and_then(|hello| hello.server_name.as_deref());
        let host = host.unwrap_or_default().as_bytes();
        for CompiledRule { rule, destination } in &self.rules {
            let Match {
                host: hosts,
                path: _,
                method: _,
                header: _,
                source,
                alpn,
            } = &rule.matches;
            let offered = |name: &AlpnName| hello.is_some_and(|hello| hello.offers(name.as_str()));
            let matches = (source.is_empty() || source.iter().any(|net| net.contains(client)))
                && (hosts.is_empty() || hosts.iter().any(|pattern| pattern.matches(host)))
                && (alpn.is_empty() || alpn.iter().any(offered));
            if let (true, Some(destination)) = (matches, destination) {
                return (Some(&rule.name), destination);
            }
        }
        (None, &self.fallback)
    }

    /// Each rule that was looked at, with the reason why it did not match.
    pub(crate) fn trace(&self, asked: &Asked<'_>) -> Vec<(&Rule, Option<&'static str>)> {
        let mut lower = [0_u8; HOST_MAX];
        let host = lower_case(asked.head.host(asked.bytes), &mut lower);
        let mut trace = Vec::new();
        for CompiledRule { rule, destination } in &self.rules {
            let reason = mismatch(&rule.matches, asked, host);
            trace.push((rule, reason));
            if reason.is_none() && destination.is_some() {
                break;
            }
        }
        trace
    }
}

/// Which condition does not hold; none when all do.
fn mismatch(conditions: &Match, asked: &Asked<'_>, host: &[u8]) -> Option<&'static str> {
    let Match {
        host: hosts,
        path,
        method,
        header,
        source,
        alpn: _,
    } = conditions;
    if !source.is_empty() && !source.iter().any(|network| network.contains(asked.client)) {
        return Some("the client is in none of the networks of `source`");
    }
    let asked_method = asked.head.method(asked.bytes);
    if !method.is_empty() && !method.iter().any(|m| m.as_str().as_bytes() == asked_method) {
        return Some("the method is not in `method`");
    }
    if !hosts.is_empty() && !hosts.iter().any(|pattern| pattern.matches(host)) {
        return Some("the host is not in `host`");
    }
    let asked_path = asked.head.path(asked.bytes);
    let path_matches = match path {
        None => true,
        Some(PathMatch::Exact(exact)) => asked_path == exact.as_str().as_bytes(),
        Some(PathMatch::Prefix(prefix)) => asked_path.starts_with(prefix.as_str().as_bytes()),
        Some(PathMatch::Regex(pattern)) => pattern.is_match(asked_path),
    };
    if !path_matches {
        return Some("the path does not match `path`");
    }
    for (name, condition) in header {
        let mut values = asked
            .head
            .fields
            .iter()
            .filter(|field| name.matches(field.name(asked.bytes)))
            .map(|field| field.value(asked.bytes));
        let matches = match condition {
            HeaderMatch::Present(present) => values.next().is_some() == *present,
            HeaderMatch::Exact(text) => values.any(|v| v == text.as_str().as_bytes()),
            HeaderMatch::Prefix(text) => values.any(|v| v.starts_with(text.as_str().as_bytes())),
            HeaderMatch::Regex(pattern) => values.any(|v| pattern.is_match(v)),
        };
        if !matches {
            return Some("a header field does not match `header`");
        }
    }
    None
}

/// The host in lower case; empty when it is longer than any that a rule can name.
fn lower_case<'a>(host: &[u8], lower: &'a mut [u8; HOST_MAX]) -> &'a [u8] {
    // A final dot names the same host (RFC 3986 section 3.2.2).
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some(room) = lower.get_mut(..host.len()) else {
        return &[];
    };
    room.copy_from_slice(host);
    room.make_ascii_lowercase();
    room
}
