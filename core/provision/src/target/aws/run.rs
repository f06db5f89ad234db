//! One step in EC2. Each can be done again: what is there already is done.

use std::collections::BTreeSet;

use lb_aws::{By, Cloud, CloudError, Group, Instance, NewGroup, Rule, State, Tags};
use lb_model::value::AwsSubnet;

use super::error::AwsError;
use super::machine::{self, Made};
use super::marks;
use super::plan::{Work, group_name, rules};
use super::remove;
use super::replace;
use super::site::{Balancers, Site, VISIBLE, until};
use crate::target::Left;
use crate::wanted::Access;

/// Does it.
pub(super) async fn run<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    work: &Work,
) -> Result<Left, AwsError> {
    let left = step(site, work).await?;
    if let Left::Access(access) = &left {
        site.remember(access);
    }
    Ok(left)
}

async fn step<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    work: &Work,
) -> Result<Left, AwsError> {
    match work {
        Work::Claim => claim(site).await?,
        Work::Group => group(site).await?,
        Work::Rules => open(site).await?,
        Work::Key => key(site).await?,
        Work::Allocate => allocate(site).await?,
        Work::Launch => launch(site).await?,
        Work::Start => return start(site).await,
        Work::Change(kind) => return change(site, kind).await,
        Work::Replace(image) => return Box::pin(replace::replace(site, image)).await,
        Work::Abandon => {
            let facts = site.ours().await?;
            if let Some(successor) = facts.successor() {
                machine::terminate(site, successor, false).await?;
            }
        }
        Work::Associate => return associate(site).await,
        Work::Release => {
            let facts = site.ours().await?;
            for address in &facts.addresses {
                remove::release(site, address).await?;
            }
            return access(site).await;
        }
        Work::Enrol => {
            let instance = current(site).await?;
            let instance = machine::start(site, &instance.id).await?;
            let document = site.wanted.document.as_ref();
            let access = machine::enrol(site, &instance, document).await?;
            return Ok(Left::Access(access));
        }
        Work::Access => return access(site).await,
        Work::Tags => tags(site).await?,
        Work::Document => document(site).await?,
        Work::Prune => remove::prune(site).await?,
        Work::Destroy => {
            remove::destroy(site).await?;
            return Ok(Left::Gone);
        }
        Work::Forget => return Ok(Left::Gone),
    }
    Ok(Left::Nothing)
}

/// Everything becomes ours that is there, whoever's it was.
async fn claim<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = super::facts::Facts::find(site.cloud, &site.wanted.owner).await?;
    let ids = facts.ids();
    if ids.is_empty() {
        return Ok(());
    }
    let tags = marks::of(&site.wanted.owner, site.target);
    let marked = site.cloud.tag(&ids, &tags).await;
    marked.map_err(AwsError::while_("marking what is there"))
}

/// Makes the security group, or finds the one that an interrupted run has made.
async fn group<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let subnet = site.target.subnet.as_ref().map(AwsSubnet::as_str);
    let network = site.cloud.network(subnet).await;
    let network = network.map_err(AwsError::while_("looking for the network"))?;
    let network = network.ok_or_else(|| AwsError::Changed("its network is gone".to_owned()))?;
    let owner = &site.wanted.owner;
    let new = NewGroup {
        name: group_name(owner),
        description: format!(
            "lbctl: balancer {} of the fleet {}",
            owner.balancer, owner.fleet
        ),
        vpc: network.vpc,
        tags: marks::of(owner, site.target),
    };
    match site.cloud.make_group(&new).await {
        Ok(_) => {}
        Err(CloudError::Exists { .. }) => {
            let found = named(site, &new).await?;
            if marks::owner(&found.tags).as_ref() != Some(owner) {
                return Err(AwsError::NameTaken {
                    name: new.name,
                    vpc: new.vpc,
                });
            }
        }
        Err(error) => return Err(AwsError::while_("making the security group")(error)),
    }
    open(site).await
}

async fn named<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    new: &NewGroup,
) -> Result<Group, AwsError> {
    let by = By::Name(new.name.clone());
    let late = || machine::too_slow("EC2 did not show the security group", VISIBLE);
    until!(VISIBLE, late, {
        let found = site.cloud.groups(&by).await;
        let found = found.map_err(AwsError::while_("looking for the security group"))?;
        Ok(found.into_iter().find(|group| group.vpc == new.vpc))
    })
}

/// Lets in who shall come in, and then nobody else.
async fn open<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site
        .facts_with("security group", |facts| facts.group.is_some())
        .await?;
    let Some(group) = facts.group else {
        return Ok(());
    };
    let wanted = rules(site.target, site.wanted);
    let present: BTreeSet<Rule> = group.rules.iter().cloned().collect();
    // One at a time: one that is there already must not keep the others out.
    for rule in wanted.difference(&present) {
        match site.cloud.open(&group.id, std::slice::from_ref(rule)).await {
            Err(CloudError::Exists { .. }) => {}
            done => done.map_err(AwsError::while_("opening a port"))?,
        }
    }
    for rule in present.difference(&wanted) {
        match site.cloud.shut(&group.id, std::slice::from_ref(rule)).await {
            Err(error) if error.is_not_found() => {}
            done => done.map_err(AwsError::while_("closing a port"))?,
        }
    }
    Ok(())
}

async fn key<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let (Some(name), Some(key)) = (machine::key_name(site), &site.target.public_key) else {
        return Ok(());
    };
    let tags = marks::of(&site.wanted.owner, site.target);
    match site.cloud.import_key(&name, key.as_str(), &tags).await {
        // The name has the digest of the key in it: it is this one.
        Err(CloudError::Exists { .. }) => Ok(()),
        done => done.map_err(AwsError::while_("importing the public key")),
    }
}

async fn allocate<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site.ours().await?;
    if facts.addresses.is_empty() {
        let tags = marks::of(&site.wanted.owner, site.target);
        let taken = site.cloud.allocate(&tags).await;
        taken.map_err(AwsError::while_("taking an elastic address"))?;
    }
    Ok(())
}

/// Makes the machine, unless it is there.
async fn launch<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site
        .facts_with("security group", |facts| facts.group.is_some())
        .await?;
    let image = site.target.image.as_str();
    let instance = match (facts.current(), &facts.group) {
        (Some(instance), _) => instance.clone(),
        (None, Some(group)) => {
            let found = site.cloud.image(image).await;
            let found = found.map_err(AwsError::while_("looking for the image"))?;
            let made = Made {
                image,
                root_device: found
                    .as_ref()
                    .map_or("/dev/xvda", |image| image.root_device.as_str()),
                group: &group.id,
                document: site.wanted.document.as_ref(),
            };
            machine::launch(site, &facts, &made).await?
        }
        (None, None) => return Ok(()),
    };
    machine::start(site, &instance.id).await.map(drop)
}

/// The machine that serves, as soon as EC2 shows it.
async fn current<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<Instance, AwsError> {
    let facts = site
        .facts_with("machine", |facts| facts.current().is_some())
        .await?;
    let current = facts.current().cloned();
    current.ok_or_else(|| AwsError::Changed("it is gone".to_owned()))
}

async fn start<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<Left, AwsError> {
    let instance = current(site).await?;
    let instance = machine::start(site, &instance.id).await?;
    is_well(site, &instance).await
}

async fn is_well<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    instance: &Instance,
) -> Result<Left, AwsError> {
    let Some(access) = site.access(instance) else {
        return Ok(Left::Nothing);
    };
    machine::well(site, instance, &access).await?;
    Ok(Left::Access(access))
}

async fn change<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    kind: &str,
) -> Result<Left, AwsError> {
    let instance = current(site).await?;
    if instance.kind != kind {
        machine::stop(site, &instance.id).await?;
        let changed = site.cloud.change_kind(&instance.id, kind).await;
        if let Err(error) = changed {
            // Nobody is left without service because EC2 has no such type.
            machine::start(site, &instance.id).await?;
            return Err(AwsError::while_("changing the type of the machine")(error));
        }
    }
    match site.cloud.start(&instance.id).await {
        Err(error @ (CloudError::NoCapacity { .. } | CloudError::Quota { .. }))
            if instance.kind != kind =>
        {
            let back = site.cloud.change_kind(&instance.id, &instance.kind).await;
            back.map_err(AwsError::while_("going back to the type before"))?;
            machine::start(site, &instance.id).await?;
            return Err(AwsError::while_(format!(
                "starting the machine as {kind}; it runs as {} again",
                instance.kind
            ))(error));
        }
        // One that is on its way, or up, is started by what follows.
        Ok(()) | Err(_) => {}
    }
    let instance = machine::start(site, &instance.id).await?;
    is_well(site, &instance).await
}

/// Gives the elastic address to the machine that serves.
async fn associate<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<Left, AwsError> {
    let facts = site
        .facts_with("elastic address", |facts| {
            !facts.addresses.is_empty() && facts.current().is_some()
        })
        .await?;
    let (Some(address), Some(instance)) = (facts.addresses.first(), facts.current()) else {
        return Ok(Left::Nothing);
    };
    machine::reaches(site, &instance.id, &[State::Running, State::Stopped]).await?;
    let given = site.cloud.associate(&address.id, &instance.id).await;
    given.map_err(AwsError::while_("giving the machine its elastic address"))?;
    let late = || machine::too_slow("the machine did not get its elastic address", VISIBLE);
    until!(VISIBLE, late, {
        let instance = current(site).await?;
        Ok((instance.public == address.address).then_some(()))
    })?;
    access(site).await
}

/// Where and how the balancer is reached now.
async fn access<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<Left, AwsError> {
    let instance = current(site).await?;
    Ok(site.access(&instance).map_or(Left::Nothing, Left::Access))
}

async fn tags<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let facts = site.ours().await?;
    let ids = facts.ids();
    let (mut missing, mut surplus) = (Tags::new(), BTreeSet::new());
    for tags in facts.tagged() {
        let (add, remove) = marks::changes(tags, &site.wanted.owner, site.target);
        missing.extend(add);
        surplus.extend(remove);
    }
    if !surplus.is_empty() {
        let surplus: Vec<String> = surplus.into_iter().collect();
        let removed = site.cloud.untag(&ids, &surplus).await;
        removed.map_err(AwsError::while_("removing tags"))?;
    }
    if !missing.is_empty() {
        let set = site.cloud.tag(&ids, &missing).await;
        set.map_err(AwsError::while_("setting tags"))?;
    }
    Ok(())
}

async fn document<C: Cloud, B: Balancers>(site: &Site<'_, C, B>) -> Result<(), AwsError> {
    let instance = current(site).await?;
    let access: Option<Access> = site.access(&instance);
    if let (Some(access), Some(document)) = (access, &site.wanted.document)
        && let Err(error) = site.balancers.apply(&access, document).await
    {
        return Err(machine::told(site, &instance, error).await);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
