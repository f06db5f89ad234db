//! Rules compiled for matching: the first that matches and has an action decides where a request
//! goes; those before it that matched without one contribute their header edits.

use std::net::IpAddr;

use lb_model::config::{Action, FixedResponse, Match, Redirect, Rule, VirtualService};
use lb_model::matching;
use lb_model::value::{AlpnName, HeaderName, Name};

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
            if rule.matches.mismatch(&Question { asked, host }).is_some() {
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
            let reason = rule.matches.mismatch(&Question { asked, host });
            trace.push((rule, reason));
            if reason.is_none() && destination.is_some() {
                break;
            }
        }
        trace
    }
}

/// A request with its host as rules compare it.
struct Question<'a> {
    asked: &'a Asked<'a>,
    host: &'a [u8],
}

impl matching::Asked for Question<'_> {
    fn client(&self) -> IpAddr {
        self.asked.client
    }

    fn method(&self) -> &[u8] {
        self.asked.head.method(self.asked.bytes)
    }

    fn host(&self) -> &[u8] {
        self.host
    }

    fn path(&self) -> &[u8] {
        self.asked.head.path(self.asked.bytes)
    }

    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let bytes = self.asked.bytes;
        let fields = self.asked.head.fields.iter();
        fields
            .filter(|field| name.matches(field.name(bytes)))
            .map(|field| field.value(bytes))
    }
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
