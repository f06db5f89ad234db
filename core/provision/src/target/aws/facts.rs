//! What there is of a balancer in EC2, found by its tags.

use lb_aws::{Address, Cloud, Group, Instance, Key, State, Tags};

use super::error::AwsError;
use super::marks;
use crate::wanted::Owner;

/// Everything that is marked as that of a balancer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) group: Option<Group>,
    /// In the order in which they were launched, those that are gone among them.
    pub(super) instances: Vec<Instance>,
    pub(super) keys: Vec<Key>,
    pub(super) addresses: Vec<Address>,
}

impl Facts {
    /// Looks for it.
    pub(super) async fn find<C: Cloud>(cloud: &C, owner: &Owner) -> Result<Self, AwsError> {
        let by = marks::sought(owner);
        let looking = "looking for what there is";
        let groups = cloud.groups(&by).await.map_err(AwsError::while_(looking))?;
        let instances = cloud.instances(&by).await;
        let mut instances = instances.map_err(AwsError::while_(looking))?;
        instances.sort_by_key(|instance| (attempt(instance), instance.id.clone()));
        let addresses = cloud.addresses(&by).await;
        Ok(Self {
            group: groups.into_iter().next(),
            instances,
            keys: cloud.keys(&by).await.map_err(AwsError::while_(looking))?,
            addresses: addresses.map_err(AwsError::while_(looking))?,
        })
    }

    fn alive(&self) -> impl Iterator<Item = &Instance> {
        self.instances
            .iter()
            .filter(|instance| !instance.state.is_gone())
    }

    /// The machine that serves: the first one, as long as the one that shall take its place has not done so.
    pub(super) fn current(&self) -> Option<&Instance> {
        self.alive().next()
    }

    /// The machine that shall take its place.
    pub(super) fn successor(&self) -> Option<&Instance> {
        self.alive().nth(1)
    }

    /// The machine that is gone though nobody here took it away, or did and was interrupted.
    pub(super) fn gone(&self) -> Option<&Instance> {
        let mut gone = self.instances.iter().rev();
        gone.find(|instance| instance.state.is_gone())
    }

    /// Those that are on their way out, and those that are not.
    pub(super) fn not_terminated(&self) -> impl Iterator<Item = &Instance> {
        self.instances
            .iter()
            .filter(|instance| instance.state != State::Terminated)
    }

    /// The number of the next launch, as far as can be seen.
    pub(super) fn next_attempt(&self) -> u32 {
        self.instances.iter().map(attempt).max().unwrap_or(0) + 1
    }

    /// Whether there is anything.
    pub(super) fn is_empty(&self) -> bool {
        self.group.is_none()
            && self.current().is_none()
            && self.keys.is_empty()
            && self.addresses.is_empty()
    }

    /// Somebody else to whom something of it belongs.
    pub(super) fn stranger(&self, owner: &Owner) -> Option<Owner> {
        let groups = self.group.iter().map(|group| &group.tags);
        let instances = self.alive().map(|instance| &instance.tags);
        let keys = self.keys.iter().map(|key| &key.tags);
        let addresses = self.addresses.iter().map(|address| &address.tags);
        let mut tags = groups.chain(instances).chain(keys).chain(addresses);
        tags.find_map(|tags| marks::owner(tags).filter(|found| found != owner))
    }

    /// The tags of the security group and of each machine, which stand for those of the rest.
    pub(super) fn tagged(&self) -> impl Iterator<Item = &Tags> {
        let groups = self.group.iter().map(|group| &group.tags);
        groups.chain(self.alive().map(|instance| &instance.tags))
    }

    /// The ids of everything that is there.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.group.iter().map(|group| group.id.clone()).collect();
        for instance in self.alive() {
            ids.push(instance.id.clone());
            ids.extend(instance.volumes.iter().cloned());
            ids.extend(instance.interfaces.iter().cloned());
        }
        ids.extend(self.keys.iter().map(|key| key.id.clone()));
        ids.extend(self.addresses.iter().map(|address| address.id.clone()));
        ids
    }
}

/// The how manieth launch a machine was.
pub(super) fn attempt(instance: &Instance) -> u32 {
    let tag = instance.tags.get(marks::ATTEMPT);
    tag.and_then(|text| text.parse().ok()).unwrap_or(0)
}
