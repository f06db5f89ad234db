//! Taking things away.

use std::time::Duration;

use lb_aws::{Address, Cloud, CloudError};

use super::error::AwsError;
use super::facts::Facts;
use super::machine::{self, too_slow};
use super::site::{Balancers, Site, until};

/// For how long EC2 may say that something still uses what nothing uses any more.
const FREE: Duration = Duration::from_mins(5);

/// Removes everything of a balancer: the machine first, the security group, which says whose all of it is, at last.
pub(super) async fn destroy<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site.ours().await?;
    for instance in facts.not_terminated() {
        machine::terminate(site, instance, true).await?;
    }
    for address in &facts.addresses {
        release(site, address).await?;
    }
    for key in &facts.keys {
        done(
            site.cloud.delete_key(&key.name).await,
            "removing the key pair",
        )?;
    }
    if let Some(group) = &facts.group {
        delete_group(site, &group.id).await?;
    }
    Ok(())
}

/// Gives an elastic address back.
pub(super) async fn release<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    address: &Address,
) -> Result<(), AwsError> {
    if let Some((_, link)) = &address.given {
        let taken = site.cloud.disassociate(link).await;
        done(taken, "taking the elastic address from the machine")?;
    }
    let late = || too_slow("the elastic address did not become free", FREE);
    until!(FREE, late, {
        match site.cloud.release(&address.id).await {
            Err(CloudError::InUse { .. }) => Ok(None),
            released => done(released, "giving the elastic address back").map(Some),
        }
    })
}

/// Removes what nobody needs any more, beside the machine that serves.
pub(super) async fn prune<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site.ours().await?;
    let wanted = machine::key_name(site);
    let keys = facts
        .keys
        .iter()
        .filter(|key| Some(&key.name) != wanted.as_ref());
    for key in keys {
        done(
            site.cloud.delete_key(&key.name).await,
            "removing a key pair",
        )?;
    }
    for address in surplus(&facts, site.target.elastic_address) {
        release(site, address).await?;
    }
    Ok(())
}

/// The addresses that are too many: an interrupted run may have taken two.
pub(super) fn surplus(facts: &Facts, is_wanted: bool) -> impl Iterator<Item = &Address> {
    let serves = facts.addresses.iter().find(|address| {
        let given = address.given.as_ref().map(|(instance, _)| instance);
        given.is_some() && given == facts.current().map(|instance| &instance.id)
    });
    let kept = serves.or(facts.addresses.first()).filter(|_| is_wanted);
    facts
        .addresses
        .iter()
        .filter(move |address| Some(&address.id) != kept.map(|kept| &kept.id))
}

/// EC2 may think for a while that a machine which is gone uses the group.
async fn delete_group<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    id: &str,
) -> Result<(), AwsError> {
    let mut last = None;
    let deleted = until!(FREE, || AwsError::Changed(String::new()), {
        match site.cloud.delete_group(id).await {
            Err(error @ CloudError::InUse { .. }) => {
                last = Some(error);
                Ok(None)
            }
            deleted => done(deleted, "removing the security group").map(Some),
        }
    });
    match (deleted, last) {
        (Err(AwsError::Changed(_)), Some(error)) => {
            Err(AwsError::while_("removing the security group")(error))
        }
        (deleted, _) => deleted,
    }
}

/// What is gone already is done.
fn done(result: Result<(), CloudError>, doing: &str) -> Result<(), AwsError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.map_err(AwsError::while_(doing)),
    }
}
