//! Looking at a balancer in EC2. Nothing is changed.

use lb_aws::{Cloud, CloudError, Image, Instance};
use lb_model::value::AwsSubnet;

use super::error::AwsError;
use super::facts::Facts;
use super::machine::{self, Made};
use super::observed::Observed;
use super::site::{Balancers, Site, reached};
use crate::target::Refusal;
use crate::target::appliance::Told;

/// Looks at everything that a plan asks for.
pub(super) async fn look<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
) -> Result<Observed, AwsError> {
    let facts = Facts::find(site.cloud, &site.wanted.owner).await?;
    let subnet = site.target.subnet.as_ref().map(AwsSubnet::as_str);
    let network = match site.cloud.network(subnet).await {
        Err(CloudError::NotFound { .. }) => None,
        found => found.map_err(AwsError::while_("looking for the network"))?,
    };
    let account = network.as_ref().map(|network| network.account.clone());
    let network = network
        .map(|network| network.vpc)
        .ok_or_else(|| no_network(subnet));
    let image = image(site).await?;
    let unfit = match &image {
        Ok(image) => trial(site, &facts, image).await?,
        Err(refusal) => Some(refusal.clone()),
    };
    let current = facts.current().cloned();
    let access = current.as_ref().and_then(|instance| site.access(instance));
    let told = match (&access, current.as_ref().map(|instance| instance.state)) {
        (Some(access), Some(lb_aws::State::Running)) => {
            let document = site.wanted.document.as_ref();
            site.balancers.look(access, document).await
        }
        (Some(_) | None, _) => Told::default(),
    };
    let kept = site.wanted.access.as_ref().map(|access| access.address);
    Ok(Observed {
        account: account.unwrap_or_default(),
        region: site.target.region.to_string(),
        condition: condition(current.as_ref()),
        instance: current.as_ref().map(|instance| instance.id.clone()),
        state: current.as_ref().map(|instance| instance.state.as_str()),
        address: current.as_ref().and_then(reached),
        image: current.as_ref().map(|instance| instance.image.clone()),
        instance_type: current.as_ref().map(|instance| instance.kind.clone()),
        security_group: facts.group.as_ref().map(|group| group.id.clone()),
        has_moved: access
            .as_ref()
            .is_some_and(|access| kept != Some(access.address)),
        has_access: access.is_some(),
        network,
        unfit,
        facts,
        target: site.target.clone(),
        status: told.status,
        plan: told.plan,
        refused: told.refused,
        silent: told.silent,
    })
}

/// What the machine is doing, which it is, and where.
fn condition(machine: Option<&Instance>) -> String {
    let Some(machine) = machine else {
        return "absent".to_owned();
    };
    let address = reached(machine).map(|address| format!(" at {address}"));
    let (state, id) = (machine.state.as_str(), &machine.id);
    format!("{state} {id}{}", address.unwrap_or_default())
}

fn no_network(subnet: Option<&str>) -> Refusal {
    match subnet {
        Some(subnet) => Refusal {
            why: format!("there is no subnet {subnet} in this region and account"),
            help: "see which there are: aws ec2 describe-subnets".to_owned(),
        },
        None => Refusal {
            why: "the account has no default network in this region".to_owned(),
            help: "name a `subnet`, or make one: aws ec2 create-default-vpc".to_owned(),
        },
    }
}

/// The image, or why no machine can be made of it.
async fn image<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
) -> Result<Result<Image, Refusal>, AwsError> {
    let id = site.target.image.as_str();
    let found = match site.cloud.image(id).await {
        Err(CloudError::NotFound { .. }) => None,
        // EC2 calls one that never was malformed.
        Err(CloudError::Other { code, .. }) if code.starts_with("InvalidAMIID") => None,
        found => found.map_err(AwsError::while_("looking for the image"))?,
    };
    Ok(match found {
        Some(image) if image.state == "available" => Ok(image),
        Some(image) => Err(Refusal {
            why: format!("the image {id} is {}", image.state),
            help: "wait until it is available, or name another one".to_owned(),
        }),
        None => Err(Refusal {
            why: format!("there is no image {id} in {} for this account", site.target.region),
            help: "images are of one region and one account: see `aws ec2 describe-images --owners self`, or make \
                   one (packer/README.md)"
                .to_owned(),
        }),
    })
}

/// Asks whether a machine would be permitted, before anything is made.
async fn trial<C: Cloud, B: Balancers>(
    site: &Site<'_, C, B>,
    facts: &Facts,
    image: &Image,
) -> Result<Option<Refusal>, AwsError> {
    if facts.current().is_some() {
        return Ok(None);
    }
    let made = Made {
        image: site.target.image.as_str(),
        root_device: &image.root_device,
        group: facts.group.as_ref().map_or("", |group| group.id.as_str()),
        document: None,
    };
    let mut launch = machine::launch_of(site, &made, facts.next_attempt(), String::new());
    launch.is_trial = true;
    launch.key = None;
    match site.cloud.launch(&launch).await {
        Err(denied @ CloudError::Denied { .. }) => {
            let error = AwsError::while_("asking whether a machine may be made")(denied);
            Ok(Some(Refusal {
                help: error.help().unwrap_or_default(),
                why: error.to_string(),
            }))
        }
        // Whatever else there is shows when it is done.
        Ok(_) | Err(_) => Ok(None),
    }
}
