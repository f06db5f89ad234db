//! Configurations that are in force no more, as long as something in progress still uses a part of one.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use lb_model::value::Name;

use crate::pool::Pool;
use crate::snapshot::{Service, Snapshot};

/// Every former configuration of which something is left. A request in progress keeps at most the
/// parts that it uses, so there are never more than requests in progress.
#[derive(Default)]
pub(super) struct Formers(Vec<Former>);

/// What one configuration had and the next one had not.
struct Former {
    services: Vec<Weak<Service>>,
    pools: Vec<Weak<Pool>>,
}

impl Formers {
    /// Notes what goes out of force.
    pub(super) fn note(&mut self, before: &Snapshot, after: &Snapshot) {
        self.0.retain(Former::is_alive);
        self.0.push(Former {
            services: replaced(&before.services, &after.services),
            pools: replaced(&before.pools, &after.pools),
        });
    }

    /// How many are left.
    pub(super) fn count(&mut self) -> usize {
        self.0.retain(Former::is_alive);
        self.0.len()
    }
}

impl Former {
    fn is_alive(&self) -> bool {
        self.services
            .iter()
            .any(|service| service.strong_count() > 0)
            || self.pools.iter().any(|pool| pool.strong_count() > 0)
    }
}

fn replaced<T>(before: &BTreeMap<Name, Arc<T>>, after: &BTreeMap<Name, Arc<T>>) -> Vec<Weak<T>> {
    let stays = |name: &Name, object: &Arc<T>| {
        let now = after.get(name);
        now.is_some_and(|now| Arc::ptr_eq(now, object))
    };
    let gone = before.iter().filter(|(name, object)| !stays(name, object));
    gone.map(|(_, object)| Arc::downgrade(object)).collect()
}
