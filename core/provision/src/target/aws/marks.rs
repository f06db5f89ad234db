//! The tags by which everything of a balancer is known.

use std::collections::BTreeMap;

use lb_aws::{By, Tags};
use lb_model::fleet::AwsTarget;

use crate::wanted::Owner;

const FLEET: &str = "lbctl:fleet";
const BALANCER: &str = "lbctl:balancer";
const LINEAGE: &str = "lbctl:lineage";
/// Which tags the fleet gave: others are not ours to remove.
const GIVEN: &str = "lbctl:tags";

/// Of a machine: the how manieth launch it was.
pub(super) const ATTEMPT: &str = "lbctl:attempt";
/// Of a machine: the size of its disk that was asked for.
pub(super) const DISK: &str = "lbctl:disk";
/// Of a machine: the fingerprint of the balancer that was enrolled in it.
pub(super) const CERTIFICATE: &str = "lbctl:certificate";
/// Of the security group: the image before.
pub(super) const BEFORE: &str = "lbctl:image-before";

/// The longest value of a tag.
pub(super) const VALUE_CHARS_MAX: usize = 256;

/// The tags of everything of a balancer.
pub(super) fn of(owner: &Owner, target: &AwsTarget) -> Tags {
    let mut tags = given(owner, target);
    tags.insert(FLEET.to_owned(), owner.fleet.to_string());
    tags.insert(BALANCER.to_owned(), owner.balancer.to_string());
    tags.insert(LINEAGE.to_owned(), owner.lineage.clone());
    tags
}

/// Those of them that the fleet may change.
fn given(owner: &Owner, target: &AwsTarget) -> Tags {
    let name = format!("lbctl {} {}", owner.fleet, owner.balancer);
    let mut tags: Tags = BTreeMap::from([("Name".to_owned(), name)]);
    let own = target
        .tags
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    tags.extend(own);
    let names = names(target);
    if !names.is_empty() {
        tags.insert(GIVEN.to_owned(), names);
    }
    tags
}

/// The names of the tags that the fleet gives, as they are remembered.
pub(super) fn names(target: &AwsTarget) -> String {
    let names: Vec<String> = target.tags.keys().map(ToString::to_string).collect();
    names.join(" ")
}

/// By what everything of a balancer is found, whoever's it is.
pub(super) fn sought(owner: &Owner) -> By {
    By::Tags(BTreeMap::from([
        (FLEET.to_owned(), owner.fleet.to_string()),
        (BALANCER.to_owned(), owner.balancer.to_string()),
    ]))
}

/// Whose something is.
pub(super) fn owner(tags: &Tags) -> Option<Owner> {
    Some(Owner {
        fleet: tags.get(FLEET)?.parse().ok()?,
        balancer: tags.get(BALANCER)?.parse().ok()?,
        lineage: tags.get(LINEAGE)?.clone(),
    })
}

/// What is missing among the tags of something, and what is there that the fleet gives no more.
pub(super) fn changes(tags: &Tags, owner: &Owner, target: &AwsTarget) -> (Tags, Vec<String>) {
    let wanted = given(owner, target);
    let surplus = tags.get(GIVEN).map(String::as_str).unwrap_or_default();
    let mut surplus: Vec<String> = surplus
        .split(' ')
        .filter(|name| !name.is_empty() && !wanted.contains_key(*name))
        .filter(|name| tags.contains_key(*name))
        .map(str::to_owned)
        .collect();
    if tags.contains_key(GIVEN) && !wanted.contains_key(GIVEN) {
        surplus.push(GIVEN.to_owned());
    }
    let missing = wanted
        .into_iter()
        .filter(|(key, value)| tags.get(key) != Some(value));
    (missing.collect(), surplus)
}
