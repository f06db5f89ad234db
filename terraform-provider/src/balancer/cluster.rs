//! Terraform changes resources beside each other; balancers that stand in for each other must not be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lb_model::value::Name;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// The clusters of which a member was changed in this run, by fleet and name.
#[derive(Default)]
pub(super) struct Clusters {
    all: Mutex<HashMap<Key, Arc<Turn<Health>>>>,
}

/// A fleet, and a cluster of it.
type Key = (Name, Name);

/// How the last member that was changed came out of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Health {
    #[default]
    Well,
    /// This one is not well: the others stay as they are.
    Broken(Name),
}

impl Clusters {
    /// Waits until no other member is being changed.
    pub(super) async fn turn(&self, fleet: &Name, cluster: &Name) -> OwnedMutexGuard<Health> {
        let turn = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = all.entry((fleet.clone(), cluster.clone())).or_default();
            Arc::clone(turn)
        };
        turn.lock_owned().await
    }
}
