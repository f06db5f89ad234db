//! How a worker goes over to another configuration while it serves.
//!
//! What takes long is made elsewhere and comes ready; what only this thread can make (what is counted
//! without atomics) is made in small pieces, between which connections have their turns. Then
//! everything is exchanged in one go, between two turns of connections: no request sees half a change.
//! What is left over afterwards is put away in small pieces again.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use lb_model::value::Name;
use rustc_hash::FxBuildHasher;
use tokio::task::yield_now;

use super::{Accepting, AccessLog, Worker};
use crate::listener::{Bound, Listener};
use crate::pool::LocalPool;
use crate::route::Routes;
use crate::snapshot::{LiveService, LocalRoutes, LocalService, Service};
use crate::upstream::{Heirs, LocalServer, Upstream};

/// How long a worker works on a change before connections have their turn. A piece of work that has
/// begun is finished first.
const TURN_MAX: Duration = Duration::from_micros(200);

/// How many connections are woken before it is asked whether the turn is over.
const NUDGES: usize = 64;

/// What is different in another configuration, as one worker needs it.
#[derive(Default)]
pub(crate) struct Switch {
    /// Pools that are new or have changed.
    pub(crate) pools: Vec<PoolSwitch>,
    pub(crate) pools_gone: Vec<Name>,
    /// Virtual services that are new or have changed, or use a pool that has.
    pub(crate) services: Vec<ServiceSwitch>,
    pub(crate) services_gone: Vec<Name>,
    /// Sockets that are new, or accept for another virtual service from now on.
    pub(crate) sockets: Vec<SocketSwitch>,
    pub(crate) sockets_gone: Vec<Arc<Bound>>,
    pub(crate) log: LogSwitch,
}

/// A pool that is new or has changed.
pub(crate) struct PoolSwitch {
    pub(crate) local: LocalPool,
    pub(crate) heirs: Arc<Heirs>,
}

/// A virtual service that is new or has changed, or uses a pool that has.
pub(crate) struct ServiceSwitch {
    pub(crate) name: Name,
    pub(crate) service: Arc<Service>,
    /// A copy of its routes; none when they are the same as before.
    pub(crate) routes: Option<Routes>,
    /// Whether it listens somewhere else now, so that its connections belong to a past one.
    pub(crate) moved: bool,
}

/// A socket to accept on.
#[derive(Clone)]
pub(crate) struct SocketSwitch {
    pub(crate) bound: Arc<Bound>,
    pub(crate) service: Name,
}

/// The answer to a change is that this is never sent: whoever waits for it sees the sender go.
pub(crate) enum Done {}

/// What becomes of the access log.
#[derive(Default)]
pub(crate) enum LogSwitch {
    /// It goes on.
    #[default]
    Keep,
    /// It is this one, or none.
    Set(Option<AccessLog>),
}

/// What this worker has made of a change, to be put in the place of the old.
#[derive(Default)]
struct Staged {
    pools: HashMap<Name, (Rc<Upstream>, Arc<Heirs>), FxBuildHasher>,
    services: Vec<(Name, Rc<LocalService>, bool)>,
}

/// What was in force before, to be put away.
#[derive(Default)]
struct Leftovers {
    pools: Vec<Rc<Upstream>>,
    configurations: Vec<Rc<LocalService>>,
    /// Whose connections must not wait any longer.
    servers: Vec<Rc<LocalServer>>,
    services: Vec<Rc<LiveService>>,
}

/// Keeps the turns of a change short, and measures them.
struct Turns<'a> {
    worker: &'a Worker,
    began: Instant,
}

impl Turns<'_> {
    /// Lets connections have their turn when this one has taken long enough.
    async fn share(&mut self) {
        if self.began.elapsed() >= TURN_MAX {
            self.end();
            yield_now().await;
            self.began = Instant::now();
        }
    }

    fn end(&self) {
        let pauses = self.worker.pauses.of(self.worker.index);
        pauses.record(self.began.elapsed());
    }
}

impl Worker {
    /// Goes over to another configuration, and says so as soon as nothing begins under the old one.
    pub(super) async fn switch(self: &Rc<Self>, mut switch: Switch, done: Sender<Done>) {
        let mut turns = Turns {
            worker: self,
            began: Instant::now(),
        };
        let (sockets, sockets_gone) = (
            std::mem::take(&mut switch.sockets),
            std::mem::take(&mut switch.sockets_gone),
        );
        let staged = self.stage(&mut switch, &mut turns).await;
        let leftovers = self.exchange(staged, switch, &sockets);
        drop(done);
        turns.share().await;
        for socket in sockets {
            self.open(socket);
            turns.share().await;
        }
        for bound in sockets_gone {
            self.close(&bound);
            turns.share().await;
        }
        self.put_away(leftovers, &mut turns).await;
        turns.end();
    }

    /// Makes what only this worker can make, without effect.
    async fn stage(&self, switch: &mut Switch, turns: &mut Turns<'_>) -> Staged {
        let mut staged = Staged::default();
        for PoolSwitch { local, heirs } in std::mem::take(&mut switch.pools) {
            let name = local.pool().name().clone();
            let previous = self.present.borrow().pools.get(&name).cloned();
            let disposal = self.disposal.clone();
            let upstream = Upstream::new(local, previous.as_deref(), &heirs, disposal);
            staged.pools.insert(name, (Rc::new(upstream), heirs));
            turns.share().await;
        }
        staged.services.reserve(switch.services.len());
        for service in std::mem::take(&mut switch.services) {
            let (name, moved) = (service.name.clone(), service.moved);
            let local = self.stage_service(service, &staged);
            staged.services.push((name, Rc::new(local), moved));
            turns.share().await;
        }
        staged
    }

    fn stage_service(&self, switch: ServiceSwitch, staged: &Staged) -> LocalService {
        let ServiceSwitch {
            name,
            service,
            routes,
            moved: _,
        } = switch;
        let present = self.present.borrow();
        let upstream = |pool: &Name| {
            let staged = staged.pools.get(pool).map(|(upstream, _)| upstream);
            staged.or_else(|| present.pools.get(pool)).cloned()
        };
        let previous = present.services.get(&name).map(|live| live.current());
        let routes = match (routes, previous) {
            (None, Some(previous)) => Rc::clone(&previous.routes),
            (routes, _) => Rc::new(LocalRoutes::new(
                Arc::clone(&service),
                routes.unwrap_or_default(),
                self.disposal.clone(),
            )),
        };
        LocalService {
            // `validate` has seen to it that every pool exists.
            pools: service.pools.iter().filter_map(upstream).collect(),
            routes,
            service,
        }
    }

    /// Puts the new in the place of the old. Nothing else happens on this worker meanwhile.
    fn exchange(&self, staged: Staged, switch: Switch, sockets: &[SocketSwitch]) -> Leftovers {
        let mut leftovers = Leftovers::default();
        let present = &mut *self.present.borrow_mut();
        for (name, (upstream, heirs)) in staged.pools {
            let former = present.pools.get(&name).map(AsRef::as_ref);
            upstream.enter(former, &heirs, &mut leftovers.servers);
            leftovers.pools.extend(present.pools.insert(name, upstream));
        }
        for name in switch.pools_gone {
            if let Some(upstream) = present.pools.remove(&name) {
                upstream.leave(&mut leftovers.servers);
                leftovers.pools.push(upstream);
            }
        }
        let mut past = Vec::new();
        for name in switch.services_gone {
            past.extend(present.services.remove(&name));
        }
        for (name, local, moved) in staged.services {
            match present.services.get(&name) {
                Some(live) if !moved => {
                    let before = live.spoken();
                    leftovers.configurations.push(live.switch(local));
                    if live.spoken() != before {
                        leftovers.services.push(Rc::clone(live));
                    }
                }
                Some(_) | None => {
                    let live = Rc::new(LiveService::new(local));
                    past.extend(present.services.insert(name, live));
                }
            }
        }
        for live in &past {
            live.close();
            self.past.borrow_mut().push(Rc::downgrade(live));
        }
        leftovers.services.extend(past);
        for socket in sockets {
            let accepting = present.listeners.get(&socket.key());
            let live = present.services.get(&socket.service);
            if let (Some(accepting), Some(live)) = (accepting, live) {
                accepting.listener.serve(Rc::clone(live));
            }
        }
        if let LogSwitch::Set(log) = switch.log {
            self.access_log.replace(log.map(Rc::new));
        }
        leftovers
    }

    /// Begins to accept on a socket, unless that is done already.
    fn open(self: &Rc<Self>, socket: SocketSwitch) {
        let present = &mut *self.present.borrow_mut();
        let key = socket.key();
        let Some(live) = present.services.get(&socket.service).cloned() else {
            return;
        };
        if present.listeners.contains_key(&key) {
            return;
        }
        let Some(listener) = Listener::new(socket.bound, self, live) else {
            return;
        };
        let listener = Rc::new(listener);
        let task = tokio::task::spawn_local(Rc::clone(self).accept(Rc::clone(&listener), key));
        let task = task.abort_handle();
        present.listeners.insert(key, Accepting { listener, task });
    }

    async fn accept(self: Rc<Self>, listener: Rc<Listener>, key: usize) {
        let bound = listener.accept(&self).await;
        self.present.borrow_mut().listeners.remove(&key);
        drop(listener);
        // Whoever is the last to use the socket closes it.
        self.disposal.dispose(bound);
    }

    /// Accepts what the kernel has accepted already, and then no more.
    fn close(&self, bound: &Arc<Bound>) {
        let present = self.present.borrow();
        if let Some(accepting) = present.listeners.get(&key(bound)) {
            accepting.listener.close();
        }
    }

    /// Closes what must not wait any longer, and gives back memory.
    async fn put_away(&self, leftovers: Leftovers, turns: &mut Turns<'_>) {
        let Leftovers {
            pools,
            configurations,
            servers,
            services,
        } = leftovers;
        for configuration in configurations {
            drop(configuration);
            turns.share().await;
        }
        for pool in pools {
            drop(pool);
            turns.share().await;
        }
        if !servers.is_empty() {
            let holders = self.with_private.borrow().clone();
            for some in holders.chunks(NUDGES) {
                let some = some.iter().filter_map(std::rc::Weak::upgrade);
                some.for_each(|connection| connection.nudge());
                turns.share().await;
            }
        }
        for server in servers {
            server.close_idle(&self.disposal);
            turns.share().await;
        }
        for live in services {
            let ids: Vec<u64> = live.connections.borrow().keys().copied().collect();
            for some in ids.chunks(NUDGES) {
                live.nudge(some);
                turns.share().await;
            }
        }
        let mut past = self.past.borrow_mut();
        past.retain(|live| live.strong_count() > 0);
    }
}

impl SocketSwitch {
    fn key(&self) -> usize {
        key(&self.bound)
    }
}

/// What distinguishes sockets that are in use.
fn key(bound: &Arc<Bound>) -> usize {
    Arc::as_ptr(bound).addr()
}
