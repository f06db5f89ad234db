//! What it takes to bring a balancer in EC2 from what it is to what is wanted.

use std::collections::BTreeSet;

use lb_aws::{Instance, Rule, State};
use lb_model::fleet::AwsTarget;
use lb_model::plan::Effect;

use super::machine::reason;
use super::marks;
use super::observed::Observed;
use super::remove::surplus;
use crate::step::{Sign, Step, Steps};
use crate::target::{self, DOCUMENT_MAYBE, Goal, Refusal, not_ours, refusal, seed};
use crate::wanted::{Owner, Wanted, sha256};

/// The most that EC2 takes as user data (AWS, Run commands at launch).
pub(super) const USER_DATA_BYTES_MAX: usize = 16 << 10;

/// As long as the token of a seed.
const TOKEN_LIKE: &str =
    "lbctl_0000000000000000000000000000000000000000000000000000000000000000_00000000";

/// What a step does in EC2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Takes over what is somebody else's.
    Claim,
    Group,
    Rules,
    Key,
    /// Takes an elastic address.
    Allocate,
    Launch,
    Start,
    /// Makes it a machine of another type.
    Change(String),
    /// Makes another machine of this image in its place.
    Replace(String),
    /// Takes a machine away that an interrupted run has made to take its place, and that nobody wants any more.
    Abandon,
    /// Gives it the elastic address.
    Associate,
    /// Gives the elastic address back.
    Release,
    Enrol,
    /// Remembers where it is reached.
    Access,
    Tags,
    Document,
    Prune,
    Destroy,
    Forget,
}

impl From<Work> for target::Work {
    fn from(work: Work) -> Self {
        Self::Aws(work)
    }
}

/// The name of the security group.
pub(super) fn group_name(owner: &Owner) -> String {
    format!("lbctl-{}-{}", owner.fleet, owner.balancer)
}

/// The name of the key pair: that of another key is another one.
pub(super) fn key_name(target: &AwsTarget, owner: &Owner) -> Option<String> {
    let key = target.public_key.as_ref()?;
    let digits: String = sha256(key.as_str()).chars().take(8).collect();
    Some(format!("{}-{digits}", group_name(owner)))
}

/// Who may reach what.
pub(super) fn rules(target: &AwsTarget, wanted: &Wanted) -> BTreeSet<Rule> {
    let rule = |protocol: &str, port: u16, network: String| Rule {
        protocol: protocol.to_owned(),
        from: i32::from(port),
        to: i32::from(port),
        network,
    };
    let mut rules = BTreeSet::new();
    if let Some(admin) = wanted.balancer.admin_address() {
        let port = admin.socket_addr().port();
        let networks = target.admin_networks.iter();
        rules.extend(networks.map(|network| rule("tcp", port, network.to_string())));
    }
    for opening in &target.services {
        let mut networks: Vec<String> = opening.networks.iter().map(ToString::to_string).collect();
        if networks.is_empty() {
            networks = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        }
        let protocol = opening.protocol.as_str();
        let opened = networks
            .into_iter()
            .map(|network| rule(protocol, opening.port, network));
        rules.extend(opened);
    }
    rules
}

/// Whether a new machine can be told its document when it starts.
fn fits(wanted: &Wanted) -> bool {
    let document = wanted.document.as_ref();
    let seed = seed::of(wanted, document, Some(TOKEN_LIKE));
    seed.to_user_data().len() <= USER_DATA_BYTES_MAX
}

/// What of a machine is another one and can only be had with another machine.
pub(super) fn replacement(
    target: &AwsTarget,
    owner: &Owner,
    image: &str,
    instance: &Instance,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: &str, shall: &str| {
        if is != shall {
            let (is, shall) = (or_none(is), or_none(shall));
            found.push(format!("{what} {is} -> {shall}"));
        }
    };
    compare("image", &instance.image, image);
    if let Some(subnet) = &target.subnet {
        compare(
            "subnet",
            instance.subnet.as_deref().unwrap_or_default(),
            subnet.as_str(),
        );
    }
    compare(
        "key",
        instance.key.as_deref().unwrap_or_default(),
        &key_name(target, owner).unwrap_or_default(),
    );
    let size = target.disk_gib.map(|size| size.to_string());
    compare(
        "disk in GiB",
        instance.tags.get(marks::DISK).map_or("", String::as_str),
        &size.unwrap_or_default(),
    );
    let word = |is_spot: bool| if is_spot { "yes" } else { "no" };
    compare("spot", word(instance.is_spot), word(target.spot));
    if instance.is_spot && target.spot {
        // One that cannot be stopped cannot become one of another type.
        compare("type", &instance.kind, target.instance_type.as_str());
    }
    found
}

const fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// What it takes from what has been seen to the goal.
pub(crate) fn plan(seen: &Observed, goal: Goal<'_>, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
    match goal {
        Goal::Be(wanted) => be(seen, wanted, may_adopt),
        Goal::GoBack(wanted) => go_back(seen, wanted),
        Goal::Vanish(wanted) => vanish(seen, wanted),
    }
}

fn be(seen: &Observed, wanted: &Wanted, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
    let mut steps = Steps::of(wanted);
    if let Some(stranger) = seen.facts.stranger(&wanted.owner) {
        if !may_adopt {
            return Err(not_ours(&stranger.text()));
        }
        let title = format!("mark of the fleet {}", wanted.owner.fleet);
        steps.add(Sign::Change, "claim", title, Work::Claim);
    }
    around(seen, wanted, &mut steps)?;
    let image = seen.target.image.as_str();
    let is_new = machine(seen, wanted, image, &mut steps)?;
    address(seen, is_new, &mut steps);
    let is_replaced = steps.has("replace");
    if is_new || !(seen.has_access || is_replaced) {
        let title = "token for administration from here".to_owned();
        steps.add(Sign::Add, "enrol", title, Work::Enrol);
    } else if seen.has_moved && !is_replaced && !steps.has("start") && !steps.has("change") {
        let title = "where it is reached now".to_owned();
        steps.add(Sign::Change, "access", title, Work::Access);
    }
    tags(seen, wanted, &mut steps)?;
    if !is_replaced {
        document(seen, wanted, is_new, &mut steps)?;
    }
    if is_prunable(seen, wanted) {
        let title = "key pairs and addresses that nobody needs any more".to_owned();
        steps.add(Sign::Remove, "prune", title, Work::Prune);
    }
    Ok(steps.into_steps())
}

/// What must be there before the machine.
fn around(seen: &Observed, wanted: &Wanted, steps: &mut Steps<'_>) -> Result<(), Refusal> {
    let wanted_rules = rules(&seen.target, wanted);
    match &seen.facts.group {
        None => {
            seen.network.as_ref().map_err(Clone::clone)?;
            let name = group_name(&wanted.owner);
            let title = format!("security group {name}: {}", words(wanted_rules.iter()));
            steps.add(Sign::Add, "group", title, Work::Group);
        }
        Some(group) => {
            let present: BTreeSet<Rule> = group.rules.iter().cloned().collect();
            if present != wanted_rules {
                let more = wanted_rules.difference(&present);
                let less = present.difference(&wanted_rules);
                let (more, less) = (words(more), words(less));
                let title = format!("open ports: + {}, - {}", or_none(&more), or_none(&less));
                steps.add(Sign::Change, "rules", title, Work::Rules);
            }
        }
    }
    if let Some(name) = key_name(&seen.target, &wanted.owner)
        && !seen.facts.keys.iter().any(|key| key.name == name)
    {
        let title = format!("key pair {name}");
        steps.add(Sign::Add, "key", title, Work::Key);
    }
    if seen.target.elastic_address && seen.facts.addresses.is_empty() {
        let title = "elastic address".to_owned();
        steps.add(Sign::Add, "allocate", title, Work::Allocate);
    }
    Ok(())
}

fn words<'r>(rules: impl Iterator<Item = &'r Rule>) -> String {
    let words = rules.map(|rule| {
        let Rule {
            protocol,
            from,
            to,
            network,
        } = rule;
        if from == to {
            format!("{protocol} {from} from {network}")
        } else {
            format!("{protocol} {from}-{to} from {network}")
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Gives whether the machine is new.
fn machine(
    seen: &Observed,
    wanted: &Wanted,
    image: &str,
    steps: &mut Steps<'_>,
) -> Result<bool, Refusal> {
    let Some(current) = seen.facts.current() else {
        launch(seen, image, steps)?;
        return Ok(true);
    };
    let differences = replacement(&seen.target, &wanted.owner, image, current);
    if !differences.is_empty() {
        replace(seen, wanted, image, &differences, steps)?;
        return Ok(false);
    }
    if let Some(successor) = seen.facts.successor() {
        let title = format!(
            "machine {}, which an interrupted run has made",
            successor.id
        );
        steps.add(Sign::Remove, "abandon", title, Work::Abandon);
    }
    let kind = seen.target.instance_type.as_str();
    let is_up = matches!(current.state, State::Running | State::Pending);
    if current.kind != kind {
        let title = format!("machine {}: type {} -> {kind}", current.id, current.kind);
        let work = Work::Change(kind.to_owned());
        let step = steps.add(Sign::Change, "change", title, work);
        if is_up {
            step.effect = Effect::Restart;
        }
    } else if current.state != State::Running {
        let title = format!(
            "the machine {} runs; it is {}",
            current.id,
            current.state.as_str()
        );
        steps.add(Sign::Add, "start", title, Work::Start);
    }
    Ok(false)
}

fn launch(seen: &Observed, image: &str, steps: &mut Steps<'_>) -> Result<(), Refusal> {
    seen.network.as_ref().map_err(Clone::clone)?;
    if let Some(unfit) = &seen.unfit {
        return Err(unfit.clone());
    }
    let target = &seen.target;
    let spot = if target.spot { ", spot" } else { "" };
    let disk = target.disk_gib.map(|size| format!(", {size} GiB"));
    let gone = seen.facts.gone().filter(|_| seen.facts.group.is_some());
    let gone = gone.map(|gone| format!("; {} is gone: {}", gone.id, reason(gone)));
    let title = format!(
        "machine in {}: {}, image {image}{spot}{}{}",
        target.region,
        target.instance_type.as_str(),
        disk.unwrap_or_default(),
        gone.unwrap_or_default(),
    );
    steps.add(Sign::Add, "machine", title, Work::Launch);
    Ok(())
}

fn replace(
    seen: &Observed,
    wanted: &Wanted,
    image: &str,
    differences: &[String],
    steps: &mut Steps<'_>,
) -> Result<(), Refusal> {
    if image == seen.target.image.as_str()
        && let Some(unfit) = &seen.unfit
    {
        return Err(unfit.clone());
    }
    if wanted.document.is_none() && !seen.has_access {
        let help =
            "name its `document` in the fleet, or see that its balancer can be reached first";
        let why = "another machine would have no document: the fleet names none, and the one that serves cannot be \
                   asked for its own";
        return Err(refusal(why.to_owned(), help));
    }
    let moves = if seen.target.elastic_address {
        "the elastic address moves when it is well"
    } else {
        "its address is another one"
    };
    let title = format!(
        "machine beside the one that serves: {}; {moves}",
        differences.join(", ")
    );
    let work = Work::Replace(image.to_owned());
    steps.add(Sign::Change, "replace", title, work).effect = Effect::Drain;
    Ok(())
}

/// The elastic address, and the machine that has it.
fn address(seen: &Observed, is_new: bool, steps: &mut Steps<'_>) {
    let facts = &seen.facts;
    if !seen.target.elastic_address {
        if !facts.addresses.is_empty() {
            let addresses = facts.addresses.iter().filter_map(|address| address.address);
            let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
            let title = format!("elastic address {}", addresses.join(", "));
            steps.add(Sign::Remove, "release", title, Work::Release);
        }
        return;
    }
    let current = facts.current().map(|instance| instance.id.as_str());
    let is_given = facts.addresses.iter().any(|address| {
        let given = address
            .given
            .as_ref()
            .map(|(instance, _)| instance.as_str());
        given.is_some() && given == current
    });
    if (is_new || !is_given) && !steps.has("replace") {
        let title = "elastic address at the machine".to_owned();
        steps.add(Sign::Change, "address", title, Work::Associate);
    }
}

fn tags(seen: &Observed, wanted: &Wanted, steps: &mut Steps<'_>) -> Result<(), Refusal> {
    if marks::names(&seen.target).chars().count() > marks::VALUE_CHARS_MAX {
        let why = "the names of the tags are too long to be remembered in a tag".to_owned();
        return Err(refusal(why, "name fewer `tags`, or shorter ones"));
    }
    let (mut more, mut less) = (BTreeSet::new(), BTreeSet::new());
    for tags in seen.facts.tagged() {
        let (missing, surplus) = marks::changes(tags, &wanted.owner, &seen.target);
        more.extend(missing.into_keys().filter(|key| !key.contains(':')));
        less.extend(surplus.into_iter().filter(|key| !key.contains(':')));
    }
    if more.is_empty() && less.is_empty() {
        return Ok(());
    }
    let list = |names: BTreeSet<String>| {
        let names: Vec<String> = names.into_iter().collect();
        names.join(", ")
    };
    let (more, less) = (list(more), list(less));
    let title = format!("tags: + {}, - {}", or_none(&more), or_none(&less));
    steps.add(Sign::Change, "tags", title, Work::Tags);
    Ok(())
}

fn document(
    seen: &Observed,
    wanted: &Wanted,
    is_new: bool,
    steps: &mut Steps<'_>,
) -> Result<(), Refusal> {
    // One that is made has its document in the seed, unless it is too large for that.
    if wanted.document.is_none() || (is_new && fits(wanted)) {
        return Ok(());
    }
    let said = target::Said {
        refused: seen.refused.as_ref(),
        plan: seen.plan.as_ref(),
    };
    let unknown = if is_new {
        "document, which is too large for the seed"
    } else {
        DOCUMENT_MAYBE
    };
    target::document(steps, &said, unknown, Work::Document)
}

fn is_prunable(seen: &Observed, wanted: &Wanted) -> bool {
    let name = key_name(&seen.target, &wanted.owner);
    let keys = seen.facts.keys.iter();
    let has_old_key = keys
        .map(|key| Some(&key.name))
        .any(|key| key != name.as_ref());
    let is_elastic = seen.target.elastic_address;
    has_old_key || (is_elastic && surplus(&seen.facts, true).next().is_some())
}

fn go_back(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    if let Some(stranger) = seen.facts.stranger(&wanted.owner) {
        return Err(not_ours(&stranger.text()));
    }
    let Some(current) = seen.facts.current() else {
        let help = "make one first: `lbctl provision apply`";
        return Err(refusal("there is no such machine".to_owned(), help));
    };
    let group = seen.facts.group.as_ref();
    let before = group.and_then(|group| group.tags.get(marks::BEFORE));
    let Some(before) = before.filter(|before| **before != current.image) else {
        let help = "name the image to go back to in the fleet's document, and apply it";
        return Err(refusal("it has had no other image".to_owned(), help));
    };
    let mut steps = Steps::of(wanted);
    let differences = [format!("image {} -> {before}", current.image)];
    replace(seen, wanted, before, &differences, &mut steps)?;
    Ok(steps.into_steps())
}

fn vanish(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    let mut steps = Steps::of(wanted);
    if let Some(stranger) = seen.facts.stranger(&wanted.owner) {
        return Err(not_ours(&stranger.text()));
    }
    if !seen.facts.is_empty() {
        let instances = seen.facts.not_terminated();
        let ids: Vec<&str> = instances.map(|instance| instance.id.as_str()).collect();
        let machine = match ids.as_slice() {
            [] => "what is left of it:".to_owned(),
            ids => format!("machine {},", ids.join(" and ")),
        };
        let title =
            format!("{machine} addresses, keys, security group; open requests finish first");
        steps
            .add(Sign::Remove, "destroy", title, Work::Destroy)
            .effect = Effect::Drain;
    } else if wanted.is_recorded {
        let title = "what is remembered of it: the machine is gone".to_owned();
        steps.add(Sign::Remove, "forget", title, Work::Forget);
    }
    Ok(steps.into_steps())
}

#[cfg(test)]
mod tests;
