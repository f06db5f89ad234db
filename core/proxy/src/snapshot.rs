//! Everything that a configuration decides, built whole and never changed: a new configuration is a
//! new snapshot, in which what stayed the same is the same object. What outlives a configuration
//! (counters, health, persistence, limits) is shared by name.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lb_model::Config;
use lb_model::config::{
    Action, ClientTimeouts, ForwardedHeaders, HeadLimits as ModelHeadLimits, Protocol, TlsHeaders,
    Unavailable, VirtualService,
};
use lb_model::value::Name;
use rustc_hash::FxBuildHasher;

use crate::disposal::Disposal;
use crate::limit::Limit;
use crate::memory::Memory;
use crate::pool::Pool;
use crate::protocol::http::codec::HeadLimits;
use crate::quic;
use crate::route::{Destination, Routes};
use crate::stream::Attendance;
use crate::telemetry::{PerWorker, ServiceCounters};
use crate::tls::{Material, QuicSecrets, ServersTls, ServiceTls, TicketKeys};
use crate::upstream::Upstream;

/// What all workers share of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Those that are enabled.
    pub(crate) services: BTreeMap<Name, Arc<Service>>,
    pub(crate) pools: BTreeMap<Name, Arc<Pool>>,
    /// Also of virtual services that are not enabled.
    states: BTreeMap<Name, Arc<ServiceState>>,
    /// What it was built from, to see what the next one changes.
    config: Config,
    material: Material,
}

/// One configuration of a virtual service.
#[derive(Debug)]
pub(crate) struct Service {
    /// Distinguishes it from every other that ever was.
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) security: Security,
    /// Whether clients may speak HTTP/2.
    pub(crate) http2: bool,
    /// How HTTP/3 is spoken, if it is.
    pub(crate) quic: Option<Quic>,
    /// The pools that it uses; routes refer to positions here.
    pub(crate) pools: Box<[Name]>,
    pub(crate) routes: Routes,
    pub(crate) unavailable: OnUnavailable,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) timeouts: ClientTimeouts,
    pub(crate) head: HeadLimits,
    pub(crate) connections_max: usize,
    pub(crate) state: Arc<ServiceState>,
}

/// How a virtual service speaks QUIC.
#[derive(Clone, Debug)]
pub(crate) struct Quic {
    pub(crate) config: Arc<quinn::ServerConfig>,
    pub(crate) secrets: QuicSecrets,
}

/// What is known about a virtual service. It outlives a change of the configuration that leaves the
/// name as it is.
#[derive(Debug)]
pub(crate) struct ServiceState {
    pub(crate) name: Name,
    pub(crate) counters: PerWorker<ServiceCounters>,
    /// Client connections at a time.
    pub(crate) connections: Arc<Limit>,
}

/// Whether what clients send is encrypted.
#[derive(Clone, Debug)]
pub(crate) enum Security {
    Plain,
    /// Plain, and every request is sent to https.
    Redirect,
    Tls(Arc<ServiceTls>),
    /// It should be, and cannot: nobody is served.
    Unusable,
}

/// What clients get while no server is available.
#[derive(Clone, Debug)]
pub(crate) enum OnUnavailable {
    Answer(Destination),
    Close,
    /// A plain 503.
    Refuse,
}

/// A virtual service on one worker, through all its configurations at one address. Connections hold
/// this, and a configuration only for as long as a request takes.
#[derive(Debug)]
pub(crate) struct LiveService {
    /// Its counters and limits.
    pub(crate) state: Arc<ServiceState>,
    /// Its connections, by number.
    pub(crate) connections: RefCell<HashMap<u64, Rc<Attendance>, FxBuildHasher>>,
    current: RefCell<Rc<LocalService>>,
    /// What clients speak under the configuration in force.
    protocol: Cell<Protocol>,
    closed: Cell<bool>,
    /// How many of its connections are tunnels.
    tunnels: Cell<usize>,
    /// How many sockets it may still get connections from.
    sockets: Cell<usize>,
}

/// A virtual service that gets connections from a socket.
#[derive(Debug)]
pub(crate) struct Served(Rc<LiveService>);

/// A connection of a virtual service that carries bytes and asks the configuration nothing any more.
#[derive(Debug)]
pub(crate) struct Tunnelling(Rc<LiveService>);

/// What one worker holds of one configuration of a virtual service.
#[derive(Debug)]
pub(crate) struct LocalService {
    pub(crate) service: Arc<Service>,
    /// A copy of its own: the scratch memory of regular expressions is not contended for.
    pub(crate) routes: Rc<LocalRoutes>,
    /// The pools that it uses, as routes refer to them.
    pub(crate) pools: Box<[Rc<Upstream>]>,
}

/// A worker's copy of routes, which is taken apart elsewhere.
#[derive(Debug)]
pub(crate) struct LocalRoutes {
    service: Arc<Service>,
    routes: Routes,
    disposal: Disposal,
}

impl Snapshot {
    /// Builds what a configuration describes. What it has in common with the `previous` snapshot is
    /// taken from there; nothing that runs is changed by it.
    pub(crate) fn build(
        config: &Config,
        material: &Material,
        keys: &Arc<TicketKeys>,
        workers: usize,
        previous: Option<&Self>,
    ) -> Self {
        let config = config.clone();
        let pools: BTreeMap<_, _> = config
            .pools
            .iter()
            .map(|(name, model)| {
                let before = previous.and_then(|previous| previous.pools.get(name));
                let same = previous.and_then(|previous| previous.config.pools.get(name));
                let tls = model.tls.as_ref();
                let same_tls = previous.is_some_and(|previous| {
                    same.is_some_and(|same| same.tls == model.tls)
                        && tls.is_none_or(|tls| {
                            ServersTls::same_material(tls, &previous.material, material)
                        })
                });
                let pool = match before {
                    Some(before) if same == Some(model) && same_tls => Arc::clone(before),
                    Some(_) | None => {
                        let before = before.map(AsRef::as_ref);
                        // Sessions and idle connections go on.
                        let tls = match before {
                            Some(before) if same_tls => before.tls().cloned(),
                            Some(_) | None => {
                                tls.and_then(|tls| ServersTls::build(name, tls, material))
                            }
                        };
                        Pool::build(name, model, workers, before, tls)
                    }
                };
                (name.clone(), pool)
            })
            .collect();
        let state = |name: &Name| {
            let before = previous.and_then(|previous| previous.states.get(name));
            let state =
                before.map_or_else(|| Arc::new(ServiceState::new(name, workers)), Arc::clone);
            (name.clone(), state)
        };
        let states: BTreeMap<_, _> = config.virtual_services.keys().map(state).collect();
        let enabled = config
            .virtual_services
            .iter()
            .filter(|(_, model)| model.enabled);
        let services = enabled
            .filter_map(|(name, model)| {
                let before = previous.and_then(|previous| previous.services.get(name));
                let same = previous.and_then(|p| p.config.virtual_services.get(name));
                let service = match before {
                    Some(before)
                        if same == Some(model)
                            && previous.is_some_and(|p| p.has_same_material(model, material)) =>
                    {
                        Arc::clone(before)
                    }
                    Some(_) | None => {
                        let state = Arc::clone(states.get(name)?);
                        let security = Security::build(name, model, material, keys);
                        let quic = Quic::build(name, model, &security, keys);
                        Arc::new(Service::build(model, (security, quic), state))
                    }
                };
                Some((name.clone(), service))
            })
            .collect();
        Self {
            services,
            pools,
            states,
            config,
            material: material.clone(),
        }
    }

    /// Whether a virtual service has been built from the same certificates and authorities.
    fn has_same_material(&self, model: &VirtualService, material: &Material) -> bool {
        let tls = model.tls.as_ref();
        tls.is_none_or(|tls| ServiceTls::same_material(tls, &self.material, material))
    }
}

impl Snapshot {
    /// What a successor of this process needs.
    pub(crate) fn memory(&self, keys: &TicketKeys) -> Memory {
        let pools = self.pools.iter();
        Memory {
            pools: pools
                .map(|(name, pool)| (name.clone(), pool.memory()))
                .collect(),
            tickets: keys.memory(),
        }
    }

    /// Takes over what a predecessor of this process has left, before it comes into force.
    pub(crate) fn recall(&self, memory: &Memory) {
        for (name, memory) in &memory.pools {
            if let Some(pool) = self.pools.get(name) {
                pool.recall(memory);
            }
        }
    }

    /// What it was built from.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// The certificates and authorities that it was built from.
    pub(crate) const fn material(&self) -> &Material {
        &self.material
    }
}

impl Service {
    /// The same without rules and pools.
    fn emptied(&self) -> Self {
        Self {
            id: next_id(),
            address: self.address,
            protocol: self.protocol,
            security: self.security.clone(),
            http2: self.http2,
            quic: self.quic.clone(),
            pools: Box::default(),
            routes: Routes::default(),
            unavailable: OnUnavailable::Refuse,
            forwarded: self.forwarded.clone(),
            timeouts: self.timeouts.clone(),
            head: self.head,
            connections_max: self.connections_max,
            state: Arc::clone(&self.state),
        }
    }

    fn build(
        model: &VirtualService,
        (security, quic): (Security, Option<Quic>),
        state: Arc<ServiceState>,
    ) -> Self {
        let pools = pools_of(model);
        let position = |name: &Name| Destination::pool(name, &pools);
        let routes = Routes::compile(model, position);
        let unavailable = OnUnavailable::compile(model.unavailable.as_ref(), position);
        // Without `..`: a field that is added to the model does not compile until it is used.
        let VirtualService {
            description: _,
            enabled: _,
            address,
            protocol,
            tls: _,
            redirect_to_https: _,
            http2,
            http3: _,
            pool: _,
            rules: _,
            unavailable: _,
            forwarded,
            timeouts,
            head:
                ModelHeadLimits {
                    bytes_max,
                    fields_max,
                    target_bytes_max,
                },
            connections_max,
        } = model;
        Self {
            id: next_id(),
            address: address.socket_addr(),
            protocol: *protocol,
            security,
            http2: *http2,
            quic,
            pools,
            routes,
            unavailable,
            forwarded: forwarded.clone(),
            timeouts: timeouts.clone(),
            head: HeadLimits {
                bytes_max: *bytes_max as usize,
                fields_max: usize::from(*fields_max),
                target_bytes_max: *target_bytes_max as usize,
            },
            connections_max: connections_max.map_or(Limit::NONE, |max| max as usize),
            state,
        }
    }
}

impl Quic {
    fn build(
        name: &Name,
        model: &VirtualService,
        security: &Security,
        keys: &TicketKeys,
    ) -> Option<Self> {
        let Security::Tls(tls) = security else {
            return None;
        };
        if !model.http3 || model.protocol != Protocol::Http {
            return None;
        }
        let (Some(tls), Some(secrets)) = (tls.quic.clone(), keys.quic()) else {
            tracing::error!(virtual_service = %name, "HTTP/3 cannot be spoken");
            return None;
        };
        let idle = model.timeouts.idle.duration();
        Some(Self {
            config: quic::server_config(tls, &secrets, idle),
            secrets,
        })
    }
}

fn next_id() -> u64 {
    static IDS: AtomicU64 = AtomicU64::new(0);
    IDS.fetch_add(1, Ordering::Relaxed)
}

/// Every pool that a virtual service may send traffic to, once, in the order of their names.
fn pools_of(model: &VirtualService) -> Box<[Name]> {
    let of_rules = model.rules.iter().filter_map(|rule| match &rule.action {
        Some(Action::Pool(name)) => Some(name),
        Some(Action::Redirect(_) | Action::Respond(_)) | None => None,
    });
    let of_unavailable = match &model.unavailable {
        Some(Unavailable::Pool(name)) => Some(name),
        Some(Unavailable::Close(_) | Unavailable::Redirect(_) | Unavailable::Respond(_)) | None => {
            None
        }
    };
    let all: BTreeSet<&Name> = of_rules.chain(&model.pool).chain(of_unavailable).collect();
    all.into_iter().cloned().collect()
}

impl ServiceState {
    fn new(name: &Name, workers: usize) -> Self {
        Self {
            name: name.clone(),
            counters: PerWorker::new(workers),
            connections: Arc::new(Limit::new(Limit::NONE)),
        }
    }

    /// Client connections that are open.
    pub(crate) fn connections_open(&self) -> u64 {
        // Those closed are read first: read last, they might outnumber those accepted.
        let closed = self.counters.sum(|c| c.connections_closed.get());
        let accepted = self.counters.sum(|c| c.connections.get());
        accepted.saturating_sub(closed)
    }
}

impl Security {
    fn build(
        name: &Name,
        model: &VirtualService,
        material: &Material,
        keys: &Arc<TicketKeys>,
    ) -> Self {
        match &model.tls {
            Some(tls) => {
                let protocols: &[&[u8]] = match model.protocol {
                    Protocol::Http if model.http2 => &[b"h2", b"http/1.1"],
                    Protocol::Http => &[b"http/1.1"],
                    Protocol::Tcp | Protocol::Tls => &[],
                };
                match ServiceTls::build(name, tls, protocols, material, keys) {
                    Some(tls) => Self::Tls(Arc::new(tls)),
                    None => Self::Unusable,
                }
            }
            None if model.redirect_to_https => Self::Redirect,
            None => Self::Plain,
        }
    }

    /// The header line that every response gets; empty when there is none.
    pub(crate) fn hsts(&self) -> &[u8] {
        match self {
            Self::Tls(tls) => &tls.hsts,
            Self::Plain | Self::Redirect | Self::Unusable => &[],
        }
    }

    /// What servers are told about the TLS connection of the client.
    pub(crate) fn headers(&self) -> Option<&TlsHeaders> {
        match self {
            Self::Tls(tls) => Some(&tls.headers),
            Self::Plain | Self::Redirect | Self::Unusable => None,
        }
    }

    /// Whether places on this host that servers name with http are given https.
    pub(crate) fn rewrites_location(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.rewrite_location)
    }
}

impl OnUnavailable {
    fn compile(model: Option<&Unavailable>, pool: impl Fn(&Name) -> Destination) -> Self {
        match model {
            None | Some(Unavailable::Close(false)) => Self::Refuse,
            Some(Unavailable::Close(true)) => Self::Close,
            Some(Unavailable::Pool(name)) => Self::Answer(pool(name)),
            Some(Unavailable::Redirect(redirect)) => {
                Self::Answer(Destination::Redirect(redirect.clone()))
            }
            Some(Unavailable::Respond(response)) => {
                Self::Answer(Destination::Respond(response.clone()))
            }
        }
    }
}

impl LiveService {
    pub(crate) fn new(service: Rc<LocalService>) -> Self {
        Self {
            state: Arc::clone(&service.service.state),
            connections: RefCell::default(),
            protocol: Cell::new(service.service.protocol),
            current: RefCell::new(service),
            closed: Cell::new(false),
            tunnels: Cell::new(0),
            sockets: Cell::new(0),
        }
    }

    /// The configuration in force; the last one when there is none any more.
    pub(crate) fn current(&self) -> Rc<LocalService> {
        Rc::clone(&self.current.borrow())
    }

    /// Looks at the configuration in force.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Service) -> T) -> T {
        at(&self.current.borrow().service)
    }

    /// What clients speak.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    /// Goes over to another configuration; the one that was in force.
    pub(crate) fn switch(&self, service: Rc<LocalService>) -> Rc<LocalService> {
        self.protocol.set(service.service.protocol);
        self.current.replace(service)
    }

    /// No further request begins on its connections, but for the first one of each.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.let_go();
    }

    /// A connection has ended.
    pub(crate) fn end(&self, id: u64) {
        self.connections.borrow_mut().remove(&id);
        self.let_go();
    }

    /// Lets the last configuration go when no connection will ask it anything any more.
    fn let_go(&self) {
        let asks = self.sockets.get() > 0 || self.tunnels.get() < self.connections.borrow().len();
        if self.closed.get() && !asks {
            let empty = self.current().emptied();
            self.current.replace(Rc::new(empty));
        }
    }

    /// Makes these connections look whether they may still wait for another request.
    pub(crate) fn nudge(&self, ids: &[u64]) {
        let connections = self.connections.borrow();
        let some = ids.iter().filter_map(|id| connections.get(id));
        some.for_each(|connection| connection.nudge());
    }

    /// What connections may speak; those that speak something else have to look when it changes.
    pub(crate) fn spoken(&self) -> (Protocol, bool) {
        (
            self.protocol.get(),
            self.look(|service| service.quic.is_some()),
        )
    }

    /// Whether a connection that speaks this protocol may wait for another request.
    pub(crate) fn keeps(&self, protocol: Protocol) -> bool {
        !self.closed.get() && self.protocol.get() == protocol
    }

    /// What a worker counts of it.
    pub(crate) fn counters(&self, worker: usize) -> &ServiceCounters {
        self.state.counters.of(worker)
    }
}

impl Served {
    pub(crate) fn new(live: Rc<LiveService>) -> Self {
        live.sockets.set(live.sockets.get() + 1);
        Self(live)
    }

    /// Who gets the connections.
    pub(crate) const fn live(&self) -> &Rc<LiveService> {
        &self.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Self(live) = self;
        live.sockets.set(live.sockets.get() - 1);
        live.let_go();
    }
}

impl Tunnelling {
    pub(crate) fn new(live: Rc<LiveService>) -> Self {
        live.tunnels.set(live.tunnels.get() + 1);
        live.let_go();
        Self(live)
    }
}

impl Drop for Tunnelling {
    fn drop(&mut self) {
        let Self(live) = self;
        live.tunnels.set(live.tunnels.get() - 1);
    }
}

impl LocalService {
    /// What is left when nothing of it is needed: no rules and no pools.
    fn emptied(&self) -> Self {
        let service = Arc::new(self.service.emptied());
        let disposal = self.routes.disposal.clone();
        Self {
            routes: Rc::new(LocalRoutes::new(
                Arc::clone(&service),
                Routes::default(),
                disposal,
            )),
            pools: Box::default(),
            service,
        }
    }

    /// What a worker counts of it.
    pub(crate) fn counters(&self, worker: usize) -> &ServiceCounters {
        self.service.state.counters.of(worker)
    }
}

impl LocalRoutes {
    /// A copy of routes that was made elsewhere.
    pub(crate) fn new(service: Arc<Service>, routes: Routes, disposal: Disposal) -> Self {
        Self {
            service,
            routes,
            disposal,
        }
    }
}

impl Deref for LocalRoutes {
    type Target = Routes;

    fn deref(&self) -> &Routes {
        &self.routes
    }
}

impl Drop for LocalRoutes {
    fn drop(&mut self) {
        let routes = std::mem::take(&mut self.routes);
        self.disposal.dispose((routes, Arc::clone(&self.service)));
    }
}
