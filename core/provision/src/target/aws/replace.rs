//! Another machine in the place of one that serves.

use lb_aws::{Cloud, Instance, State, Tags};

use super::error::AwsError;
use super::facts::Facts;
use super::machine::{self, Made};
use super::marks;
use super::site::{Balancers, Site};
use crate::target::Left;
use crate::wanted::{Access, Document};

/// Makes a machine of an image beside the one that serves. When it is well it takes the place of that one; when it
/// is not, it goes, and the other one has never noticed.
pub(super) async fn replace<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    image: &str,
) -> Result<Left, AwsError> {
    let facts = site
        .facts_with("machine", |facts| facts.current().is_some())
        .await?;
    let Some(current) = facts.current() else {
        return Ok(Left::Nothing);
    };
    let carried = carried(site, current).await?;
    let document = site.wanted.document.as_ref().or(carried.as_ref());
    let successor = successor(site, &facts, image, document).await?;
    let access = match make_well(site, &successor, document).await {
        Ok(access) => access,
        Err(error) => return Err(give_up(site, &successor, image, error).await),
    };
    take_over(site, &facts, current, &successor).await?;
    let now = machine::reaches(site, &successor.id, &[State::Running]).await?;
    let address = site.address(&now);
    Ok(Left::Access(Access {
        address: address.unwrap_or(access.address),
        ..access
    }))
}

/// What the one that serves has in force, when the fleet says nothing of it.
async fn carried<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    current: &Instance,
) -> Result<Option<Document>, AwsError> {
    if site.wanted.document.is_some() {
        return Ok(None);
    }
    let Some(access) = site.access(current) else {
        return Ok(None);
    };
    match site.balancers.document(&access).await {
        Ok(text) => Ok(Some(Document::of(text))),
        Err(error) => Err(machine::told(site, current, error).await),
    }
}

/// The machine that an interrupted run has made, or a new one.
async fn successor<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    facts: &Facts,
    image: &str,
    document: Option<&Document>,
) -> Result<Instance, AwsError> {
    if let Some(found) = facts.successor() {
        if super::plan::replacement(site.target, &site.wanted.owner, image, found).is_empty() {
            return Ok(found.clone());
        }
        machine::terminate(site, found, false).await?;
    }
    let group = facts.group.as_ref();
    let group = group.ok_or_else(|| AwsError::Changed("its security group is gone".to_owned()))?;
    let found = site.cloud.image(image).await;
    let found = found.map_err(AwsError::while_("looking for the image"))?;
    let made = Made {
        image,
        root_device: found
            .as_ref()
            .map_or("/dev/xvda", |image| image.root_device.as_str()),
        group: &group.id,
        document,
    };
    machine::launch(site, facts, &made).await
}

async fn make_well<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    successor: &Instance,
    document: Option<&Document>,
) -> Result<Access, AwsError> {
    let successor = machine::start(site, &successor.id).await?;
    let access = machine::enrol(site, &successor, document).await?;
    if let Some(document) = document
        && let Err(error) = site.balancers.apply(&access, document).await
    {
        return Err(machine::told(site, &successor, error).await);
    }
    machine::well(site, &successor, &access).await?;
    Ok(access)
}

/// Takes a machine away that is not well. What only EC2 did not do says nothing about the machine: it stays,
/// and the next run goes on with it.
async fn give_up<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    successor: &Instance,
    image: &str,
    error: AwsError,
) -> AwsError {
    let (why, console) = match error {
        AwsError::Balancer { console, why, .. } => (why.to_string(), console),
        AwsError::Ended { why, .. } => (why, String::new()),
        other @ (AwsError::NotBuilt
        | AwsError::Cloud { .. }
        | AwsError::TooSlow { .. }
        | AwsError::NameTaken { .. }
        | AwsError::NoAddress(_)
        | AwsError::BadImage { .. }
        | AwsError::Changed(_)
        | AwsError::Random(_)) => return other,
    };
    if let Err(error) = machine::terminate(site, successor, false).await {
        return error;
    }
    AwsError::BadImage {
        image: image.to_owned(),
        why,
        console,
    }
}

/// The address goes to the new machine, then the old one goes.
async fn take_over<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    facts: &Facts,
    current: &Instance,
    successor: &Instance,
) -> Result<(), AwsError> {
    if let Some(address) = facts
        .addresses
        .first()
        .filter(|_| site.target.elastic_address)
    {
        let moved = site.cloud.associate(&address.id, &successor.id).await;
        moved.map_err(AwsError::while_("moving the elastic address"))?;
    }
    if let Some(group) = &facts.group
        && current.image != successor.image
    {
        let tags = Tags::from([(marks::BEFORE.to_owned(), current.image.clone())]);
        let marked = site.cloud.tag(std::slice::from_ref(&group.id), &tags).await;
        marked.map_err(AwsError::while_("remembering the image before"))?;
    }
    machine::terminate(site, current, true).await
}
