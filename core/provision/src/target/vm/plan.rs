//! What it takes to bring a virtual machine from what it is to what is wanted.

use std::collections::BTreeMap;

use lb_model::fleet::Forward;
use lb_model::plan::Effect;
use lb_model::seed::Interface;
use lb_model::value::{InterfaceName, Name};

use super::folder::Shape;
use super::observed::Observed;
use crate::step::{Sign, Step, Steps};
use crate::target::{self, DOCUMENT_MAYBE, Goal, Refusal, not_ours, refusal};
use crate::wanted::Wanted;

/// What a step does to a virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Takes over one that is somebody else's.
    Claim,
    /// Makes everything that a start needs, of the image that the fleet names.
    Make,
    /// Makes another machine of it, with the same disk.
    Change(Box<Shape>),
    Start,
    Enrol,
    /// Remembers the token that is kept with the machine.
    Access,
    Document,
    Destroy,
    Forget,
}

impl From<Work> for target::Work {
    fn from(work: Work) -> Self {
        Self::Vm(work)
    }
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
    let shape = seen.wanted.as_ref().map_err(Clone::clone)?;
    let made = match &seen.kept {
        Some(kept) if kept.owner != wanted.owner && !may_adopt => {
            return Err(not_ours(&kept.owner.text()));
        }
        Some(kept) => {
            if kept.owner != wanted.owner {
                let title = format!("mark of the fleet {}", wanted.owner.fleet);
                steps.add(Sign::Change, "claim", title, Work::Claim);
            }
            Some(kept).filter(|kept| kept.is_made)
        }
        None => None,
    };
    let is_new = made.is_none();
    match made {
        None => {
            let title = format!("virtual machine: {}", words(shape));
            steps.add(Sign::Add, "machine", title, Work::Make);
            start(&mut steps);
        }
        Some(kept) if kept.shape != *shape => {
            let title = format!("virtual machine: {}", differences(&kept.shape, shape));
            let work = Work::Change(Box::new(shape.clone()));
            let sign = Sign::Change;
            let step = steps.add(sign, "change", title, work);
            step.effect = if seen.running {
                Effect::Restart
            } else {
                Effect::Live
            };
        }
        Some(_) if !seen.running => start(&mut steps),
        Some(_) => {}
    }
    access(seen, wanted, is_new, &mut steps);
    document(seen, wanted, is_new, &mut steps)?;
    Ok(steps.into_steps())
}

fn start(steps: &mut Steps<'_>) {
    let title = "the machine runs".to_owned();
    steps.add(Sign::Add, "start", title, Work::Start);
}

fn access(seen: &Observed, wanted: &Wanted, is_new: bool, steps: &mut Steps<'_>) {
    if seen.has_access && !is_new {
        if wanted.access.is_none() {
            let title = "token for administration from here, kept with the machine".to_owned();
            steps.add(Sign::Add, "access", title, Work::Access);
        }
        return;
    }
    let title = "token for administration from here".to_owned();
    steps.add(Sign::Add, "enrol", title, Work::Enrol);
}

fn document(
    seen: &Observed,
    wanted: &Wanted,
    is_new: bool,
    steps: &mut Steps<'_>,
) -> Result<(), Refusal> {
    // One that is made has its document in the seed.
    if wanted.document.is_none() || is_new {
        return Ok(());
    }
    let said = target::Said {
        refused: seen.refused.as_ref(),
        plan: seen.plan.as_ref(),
    };
    target::document(steps, &said, DOCUMENT_MAYBE, Work::Document)
}

fn go_back(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    let Some(kept) = &seen.kept else {
        let help = "make one first: `lbctl provision apply`";
        return Err(refusal("there is no such machine".to_owned(), help));
    };
    if kept.owner != wanted.owner {
        return Err(not_ours(&kept.owner.text()));
    }
    let Some(previous) = &kept.previous else {
        let help = "name the image to go back to in the fleet's document, and apply it";
        return Err(refusal("it has had no other image".to_owned(), help));
    };
    let shape = Shape {
        release: previous.clone(),
        ..kept.shape.clone()
    };
    let mut steps = Steps::of(wanted);
    let title = format!("virtual machine: {}", differences(&kept.shape, &shape));
    steps
        .add(Sign::Change, "change", title, Work::Change(Box::new(shape)))
        .effect = Effect::Restart;
    Ok(steps.into_steps())
}

fn vanish(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    let mut steps = Steps::of(wanted);
    match &seen.kept {
        Some(kept) if kept.owner != wanted.owner => return Err(not_ours(&kept.owner.text())),
        Some(_) => {
            let title = "virtual machine, with its disks; open requests finish first".to_owned();
            steps
                .add(Sign::Remove, "destroy", title, Work::Destroy)
                .effect = Effect::Drain;
        }
        None if wanted.is_recorded => {
            let title = "what is remembered of it: the machine is gone".to_owned();
            steps.add(Sign::Remove, "forget", title, Work::Forget);
        }
        None => {}
    }
    Ok(steps.into_steps())
}

fn words(shape: &Shape) -> String {
    let Shape {
        release,
        memory_mib,
        processors,
        firmware,
        forwards,
        bridges,
        network: _,
        address: _,
    } = shape;
    let plural = if *processors == 1 { "" } else { "s" };
    format!(
        "image {release}, {processors} processor{plural}, {memory_mib} MiB, {}; {}",
        firmware.as_str(),
        [ways(forwards), on(bridges)]
            .join("; ")
            .trim_matches([';', ' '])
    )
}

fn on(bridges: &[InterfaceName]) -> String {
    let names: Vec<&str> = bridges.iter().map(InterfaceName::as_str).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("on the bridge {}", names.concat()),
        _ => format!("on the bridges {}", names.join(", ")),
    }
}

fn cards(network: &BTreeMap<Name, Interface>) -> String {
    let cards = network.iter().map(|(name, interface)| {
        let addresses = interface.addresses.iter().map(ToString::to_string);
        let addresses = addresses.collect::<Vec<_>>().join(" ");
        let addresses = if addresses.is_empty() {
            "DHCP"
        } else {
            &addresses
        };
        format!("{name} {addresses}")
    });
    cards.collect::<Vec<_>>().join(", ")
}

fn ways(forwards: &[Forward]) -> String {
    let forwards = forwards
        .iter()
        .map(|forward| format!("{} -> {}", forward.address, forward.port));
    forwards.collect::<Vec<_>>().join(", ")
}

/// What is another one, in few words.
fn differences(is: &Shape, shall: &Shape) -> String {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: String, shall: String| {
        if is != shall {
            found.push(format!("{what}{is} -> {shall}"));
        }
    };
    compare("image ", is.release.clone(), shall.release.clone());
    compare(
        "processors ",
        is.processors.to_string(),
        shall.processors.to_string(),
    );
    compare(
        "MiB ",
        is.memory_mib.to_string(),
        shall.memory_mib.to_string(),
    );
    let (before, after) = (is.firmware.as_str(), shall.firmware.as_str());
    compare("firmware ", before.to_owned(), after.to_owned());
    let (before, after) = (ways(&is.forwards), ways(&shall.forwards));
    compare("forwards ", format!("({before})"), format!("({after})"));
    compare("", on(&is.bridges), on(&shall.bridges));
    let reached = |shape: &Shape| {
        shape
            .address
            .map(|address| address.to_string())
            .unwrap_or_default()
    };
    compare("address ", reached(is), reached(shall));
    let (before, after) = (cards(&is.network), cards(&shall.network));
    if before == after && is.network != shall.network {
        found.push("network".to_owned());
    } else {
        compare("network ", format!("({before})"), format!("({after})"));
    }
    found.join(", ")
}

#[cfg(test)]
mod tests;
