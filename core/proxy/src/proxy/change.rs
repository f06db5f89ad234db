//! What is different between two configurations, as those need it who go over from one to the other.
//! It is found out on the thread of who changes, once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lb_model::config::AccessLogFormat;
use lb_model::value::Name;

use crate::health::watched_servers;
use crate::listener::{Hold, SocketKind};
use crate::pool::{LocalPool, Pool, ServerId};
use crate::snapshot::{Service, Snapshot};
use crate::telemetry::access_log::AccessSink;
use crate::upstream::Heirs;
use crate::worker::{PoolSwitch, ServiceSwitch, SocketSwitch, Switch};

/// What is different.
pub(super) struct Change {
    /// Pools that are new or have changed, with their former configuration.
    pub(super) pools: Vec<(Arc<Pool>, Option<Arc<Pool>>)>,
    pub(super) pools_gone: Vec<Arc<Pool>>,
    /// Virtual services that are new or have changed.
    pub(super) services: Vec<Arc<Service>>,
    /// Servers that are not probed any more.
    pub(super) unwatched: Vec<ServerId>,
    /// For each worker.
    pub(super) switches: Vec<Switch>,
}

/// The access log of a configuration.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) sink: Arc<dyn AccessSink>,
    pub(super) format: AccessLogFormat,
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sink, &other.sink) && self.format == other.format
    }
}

/// The sockets of each virtual service, before and after.
type Moved<'a> = (&'a Holds, &'a Holds);

type Holds = BTreeMap<(Name, SocketKind), Hold>;

impl Change {
    pub(super) fn between(
        before: &Snapshot,
        after: &Snapshot,
        moved: Moved<'_>,
        workers: usize,
    ) -> Self {
        let mut change = Self {
            pools: changed(&before.pools, &after.pools),
            pools_gone: gone(&before.pools, &after.pools).cloned().collect(),
            services: changed(&before.services, &after.services)
                .into_iter()
                .map(|(service, _)| service)
                .collect(),
            unwatched: Vec::new(),
            switches: (0..workers).map(|_| Switch::default()).collect(),
        };
        change.find_unwatched();
        change.switch_pools();
        change.switch_services(before, after, moved);
        change
    }

    fn find_unwatched(&mut self) {
        let watched = |pool: &Arc<Pool>| {
            let ids = watched_servers(pool).map(|index| pool.server(index).id());
            ids.collect::<HashSet<_>>()
        };
        for (pool, previous) in &self.pools {
            let still = watched(pool);
            let before = previous.as_ref().map(watched).unwrap_or_default();
            self.unwatched.extend(before.difference(&still));
        }
        for pool in &self.pools_gone {
            self.unwatched.extend(watched(pool));
        }
    }

    fn switch_pools(&mut self) {
        for (pool, previous) in &self.pools {
            let heirs = Arc::new(Heirs::of(pool, previous.as_deref()));
            for (worker, switch) in self.switches.iter_mut().enumerate() {
                switch.pools.push(PoolSwitch {
                    local: LocalPool::new(Arc::clone(pool), worker),
                    heirs: Arc::clone(&heirs),
                });
            }
        }
        for switch in &mut self.switches {
            let names = self.pools_gone.iter().map(|pool| pool.name().clone());
            switch.pools_gone = names.collect();
        }
    }

    fn switch_services(
        &mut self,
        before: &Snapshot,
        after: &Snapshot,
        (listening, bound): Moved<'_>,
    ) {
        let touched: HashSet<&Name> = self.pools.iter().map(|(pool, _)| pool.name()).collect();
        for (name, service) in &after.services {
            let former = before.services.get(name);
            let same = former.is_some_and(|former| Arc::ptr_eq(former, service));
            let sockets = [SocketKind::Stream, SocketKind::Datagram].map(|kind| {
                let key = (name.clone(), kind);
                let after = bound.get(&key);
                let stays = listening
                    .get(&key)
                    .zip(after)
                    .is_some_and(|(before, after)| Arc::ptr_eq(before.bound(), after.bound()));
                (after, stays)
            });
            let [(_, stays), _] = sockets;
            let moved = former.is_some() && !stays;
            if same && stays && !service.pools.iter().any(|pool| touched.contains(pool)) {
                continue;
            }
            for switch in &mut self.switches {
                switch.services.push(ServiceSwitch {
                    name: name.clone(),
                    service: Arc::clone(service),
                    routes: (!same).then(|| service.routes.clone()),
                    moved,
                });
                let new = sockets.iter().filter(|(_, stays)| !stays);
                for hold in new.filter_map(|(hold, _)| *hold) {
                    switch.sockets.push(SocketSwitch {
                        bound: Arc::clone(hold.bound()),
                        service: name.clone(),
                    });
                }
            }
        }
        let gone = before.services.keys();
        let gone = gone.filter(|name| !after.services.contains_key(*name));
        let gone: Vec<Name> = gone.cloned().collect();
        let still = bound.values().map(|hold| Arc::as_ptr(hold.bound()));
        let still: HashSet<_> = still.collect();
        for switch in &mut self.switches {
            switch.services_gone.clone_from(&gone);
            let closed = listening.values().map(Hold::bound);
            let closed = closed.filter(|bound| !still.contains(&Arc::as_ptr(bound)));
            switch.sockets_gone = closed.cloned().collect();
        }
    }
}

/// What is new or another object than before, with what it was.
fn changed<T>(
    before: &BTreeMap<Name, Arc<T>>,
    after: &BTreeMap<Name, Arc<T>>,
) -> Vec<(Arc<T>, Option<Arc<T>>)> {
    let changed = after.iter().filter_map(|(name, object)| {
        let former = before.get(name);
        let same = former.is_some_and(|former| Arc::ptr_eq(former, object));
        (!same).then(|| (Arc::clone(object), former.cloned()))
    });
    changed.collect()
}

/// What is there no more.
fn gone<'a, T>(
    before: &'a BTreeMap<Name, Arc<T>>,
    after: &'a BTreeMap<Name, Arc<T>>,
) -> impl Iterator<Item = &'a Arc<T>> {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    gone.map(|(_, object)| object)
}
