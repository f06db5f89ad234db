//! Everything that a configuration decides, built whole and never changed: a new configuration is a
//! new snapshot. What outlives a configuration (counters, health, persistence) is shared by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lb_model::ValidConfig;
use lb_model::config::{
    ClientTimeouts, ForwardedHeaders, HeadLimits as ModelHeadLimits, Protocol, Unavailable,
    VirtualService,
};
use lb_model::value::Name;
use tokio::sync::Semaphore;

use crate::pool::{LocalPool, Pool};
use crate::protocol::http::codec::HeadLimits;
use crate::route::{Destination, Routes};
use crate::telemetry::{PerWorker, ServiceCounters};
use crate::upstream::Upstream;

/// What all workers share of one configuration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) services: BTreeMap<Name, Arc<Service>>,
    /// In the order of their names; routes refer to positions.
    pub(crate) pools: Vec<Arc<Pool>>,
}

/// A virtual service as it runs.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) routes: Routes,
    pub(crate) unavailable: OnUnavailable,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) timeouts: ClientTimeouts,
    pub(crate) head: HeadLimits,
    /// One permit for each client connection, when their number is limited.
    pub(crate) connections: Option<Arc<Semaphore>>,
    pub(crate) counters: PerWorker<ServiceCounters>,
}

/// What clients get while no server is available.
#[derive(Clone, Debug)]
pub(crate) enum OnUnavailable {
    Answer(Destination),
    Close,
    /// A plain 503.
    Refuse,
}

/// What one worker holds of a snapshot: the parts that are not shared between cores.
#[derive(Debug)]
pub(crate) struct LocalSnapshot {
    pub(crate) services: BTreeMap<Name, Rc<LocalService>>,
    pub(crate) pools: Rc<[Upstream]>,
}

/// What one worker holds of a virtual service.
#[derive(Debug)]
pub(crate) struct LocalService {
    pub(crate) service: Arc<Service>,
    /// A copy of its own: the scratch memory of regular expressions is not contended for.
    pub(crate) routes: Routes,
    pub(crate) pools: Rc<[Upstream]>,
}

impl Snapshot {
    /// Builds what a configuration describes.
    pub(crate) fn build(config: &ValidConfig, workers: usize) -> Self {
        let config = config.config();
        let pools: Vec<_> = config
            .pools
            .iter()
            .map(|(name, pool)| Pool::build(name, pool, workers, None))
            .collect();
        let services = config
            .virtual_services
            .iter()
            .filter(|(_, service)| service.enabled)
            .map(|(name, service)| {
                let routes = Routes::compile(service, config);
                let pool = |name: &Name| Destination::pool(name, config);
                let unavailable = OnUnavailable::compile(service.unavailable.as_ref(), pool);
                let service = Service::build(name, service, routes, unavailable, workers);
                (name.clone(), Arc::new(service))
            })
            .collect();
        Self { services, pools }
    }

    /// The view of one worker.
    pub(crate) fn local(&self, worker: usize) -> LocalSnapshot {
        let pools: Rc<[Upstream]> = self
            .pools
            .iter()
            .map(|pool| Upstream::new(LocalPool::new(Arc::clone(pool), worker)))
            .collect();
        let services = self
            .services
            .iter()
            .map(|(name, service)| {
                let local = LocalService {
                    service: Arc::clone(service),
                    routes: service.routes.clone(),
                    pools: Rc::clone(&pools),
                };
                (name.clone(), Rc::new(local))
            })
            .collect();
        LocalSnapshot { services, pools }
    }
}

impl Service {
    fn build(
        name: &Name,
        service: &VirtualService,
        routes: Routes,
        unavailable: OnUnavailable,
        workers: usize,
    ) -> Self {
        // Without `..`: a field that is added to the model does not compile until it is used.
        let VirtualService {
            description: _,
            enabled: _,
            address,
            protocol,
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
        } = service;
        let permits = |max: u32| Arc::new(Semaphore::new(max as usize));
        Self {
            name: name.clone(),
            address: address.socket_addr(),
            protocol: *protocol,
            routes,
            unavailable,
            forwarded: forwarded.clone(),
            timeouts: timeouts.clone(),
            head: HeadLimits {
                bytes_max: *bytes_max as usize,
                fields_max: usize::from(*fields_max),
                target_bytes_max: *target_bytes_max as usize,
            },
            connections: connections_max.map(permits),
            counters: PerWorker::new(workers),
        }
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

impl LocalService {
    /// The counters of this service that a worker writes.
    pub(crate) fn counters(&self, worker: usize) -> &ServiceCounters {
        self.service.counters.of(worker)
    }
}
