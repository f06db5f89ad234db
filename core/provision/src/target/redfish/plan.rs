//! What it takes to bring hardware from what it is to what is wanted.

use lb_model::fleet::{RedfishTarget, Target};
use lb_model::plan::Effect;

use super::folder::{Kept, Stage};
use super::observed::Observed;
use crate::step::{Sign, Step, Steps};
use crate::target::{self, DOCUMENT_MAYBE, Goal, Refusal, not_ours, refusal};
use crate::wanted::{Owner, Wanted};

/// What a step does to hardware.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// Marks a machine as ours.
    Claim,
    /// Has the installer write this image to its disk; with a new token for the first administration, or without.
    Install {
        release: String,
        enrols: bool,
    },
    /// Starts it from its disk.
    Start,
    Enrol,
    /// Remembers the token that is kept here.
    Access,
    Document,
    Destroy,
    Forget,
}

impl From<Work> for target::Work {
    fn from(work: Work) -> Self {
        Self::Redfish(work)
    }
}

/// What stands on a machine that is ours, where that can be written.
pub(super) fn tag(owner: &Owner) -> String {
    let Owner {
        fleet,
        balancer,
        lineage,
    } = owner;
    format!("lbctl {fleet}/{balancer} {lineage}")
}

/// What it takes from what has been seen to the goal.
pub(crate) fn plan(seen: &Observed, goal: Goal<'_>, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
    match goal {
        Goal::Be(wanted) => be(seen, wanted, may_adopt),
        Goal::GoBack(wanted) => go_back(seen, wanted),
        Goal::Vanish(wanted) => vanish(seen, wanted),
    }
}

/// Whether the machine is somebody else's, as far as anybody says so.
fn may_be_touched(seen: &Observed, wanted: &Wanted, target: &RedfishTarget) -> Result<(), Refusal> {
    if let Some(kept) = &seen.kept {
        let is_ours = kept.owner == wanted.owner;
        return if is_ours {
            Ok(())
        } else {
            Err(not_ours(&kept.owner.text()))
        };
    }
    let tag_of_other = seen
        .asset_tag
        .as_ref()
        .filter(|other| other.starts_with("lbctl ") && **other != tag(&wanted.owner));
    if let Some(other) = tag_of_other {
        return Err(not_ours(other));
    }
    if !seen.is_off() && !target.wipe {
        return Err(refusal(
            format!(
                "the machine is {}, and nobody knows what runs on it",
                seen.power
            ),
            "switch it off when nobody needs it; or say `wipe = true` when it and its disk may go; a balancer that \
             whoever provisions has forgotten is taken up with `lbctl provision adopt`",
        ));
    }
    Ok(())
}

fn be(seen: &Observed, wanted: &Wanted, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
    let Target::Redfish(target) = &wanted.balancer.target else {
        return Ok(Vec::new());
    };
    let release = seen.wanted.as_ref().map_err(Clone::clone)?;
    if !may_adopt {
        may_be_touched(seen, wanted, target)?;
    }
    let mut steps = Steps::of(wanted);
    let kept = seen.kept.as_ref();
    let is_ours = kept.is_some_and(|kept| kept.owner == wanted.owner);
    // What an installer has refused for its owner is tried again when that is asked for.
    let is_in_doubt = kept.is_some_and(|kept| {
        matches!(kept.stage, Stage::Claimed | Stage::Installing) && !kept.adopts
    });
    if !is_ours || may_adopt && is_in_doubt {
        let title = format!("mark of the fleet {}", wanted.owner.fleet);
        let sign = if kept.is_some() {
            Sign::Change
        } else {
            Sign::Add
        };
        steps.add(sign, "claim", title, Work::Claim);
    }
    // Without a token nobody gets in, and only the installer can bring another one.
    let enrols = !seen.has_access;
    let needs_token = enrols && !seen.has_enrolment_token;
    let is_installed = kept.is_some_and(|kept| {
        kept.release == *release && matches!(kept.stage, Stage::Installed | Stage::Started)
    });
    let installs = !is_installed || needs_token;
    if installs {
        install(seen, kept, release, enrols, target, &mut steps);
    }
    let has_started = kept.is_some_and(|kept| kept.stage == Stage::Started);
    if installs || seen.is_off() || !has_started {
        start(&mut steps);
    }
    if enrols {
        let title = "token for administration from here".to_owned();
        steps.add(Sign::Add, "enrol", title, Work::Enrol);
    } else if wanted.access.is_none() {
        let title = "token for administration from here, kept by whoever provisions".to_owned();
        steps.add(Sign::Add, "access", title, Work::Access);
    }
    document(seen, wanted, &mut steps)?;
    Ok(steps.into_steps())
}

fn install(
    seen: &Observed,
    kept: Option<&Kept>,
    release: &str,
    enrols: bool,
    target: &RedfishTarget,
    steps: &mut Steps<'_>,
) {
    let disk = target.disk.as_ref();
    let disk = disk.map_or_else(|| "its disk".to_owned(), |disk| format!("the disk {disk}"));
    let before = kept
        .map(|kept| kept.release.as_str())
        .filter(|release| !release.is_empty());
    let (sign, title) = match before {
        Some(before) if before != release => (
            Sign::Change,
            format!("image {before} -> {release} on {disk}; what the balancer remembers stays"),
        ),
        Some(_) => (
            Sign::Change,
            format!("image {release} on {disk} once more; what the balancer remembers stays"),
        ),
        None if target.wipe => (
            Sign::Add,
            format!("image {release} on {disk}; what else is on it goes"),
        ),
        None => (Sign::Add, format!("image {release} on {disk}")),
    };
    let release = release.to_owned();
    let step = steps.add(sign, "install", title, Work::Install { release, enrols });
    step.effect = if seen.is_off() || before.is_none() {
        Effect::Live
    } else {
        Effect::Restart
    };
}

fn document(seen: &Observed, wanted: &Wanted, steps: &mut Steps<'_>) -> Result<(), Refusal> {
    if wanted.document.is_none() {
        return Ok(());
    }
    let said = target::Said {
        refused: seen.refused.as_ref(),
        plan: seen.plan.as_ref(),
    };
    // The disk may have had a balancer with another one.
    target::document(steps, &said, DOCUMENT_MAYBE, Work::Document)
}

fn go_back(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    let Target::Redfish(target) = &wanted.balancer.target else {
        return Ok(Vec::new());
    };
    let Some(kept) = &seen.kept else {
        let help = "install one first: `lbctl provision apply`";
        return Err(refusal("nothing was done to this machine".to_owned(), help));
    };
    if kept.owner != wanted.owner {
        return Err(not_ours(&kept.owner.text()));
    }
    let Some(previous) = &kept.previous else {
        let help = "name the image to go back to in the fleet's document, and apply it; what the balancer remembers stays";
        return Err(refusal("it has had no other image".to_owned(), help));
    };
    let mut steps = Steps::of(wanted);
    install(
        seen,
        Some(kept),
        previous,
        !seen.has_access,
        target,
        &mut steps,
    );
    start(&mut steps);
    Ok(steps.into_steps())
}

fn start(steps: &mut Steps<'_>) {
    let title = "the machine runs from its disk".to_owned();
    steps.add(Sign::Add, "start", title, Work::Start);
}

fn vanish(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    let mut steps = Steps::of(wanted);
    match &seen.kept {
        Some(kept) if kept.owner != wanted.owner => {
            return Err(not_ours(&kept.owner.text()));
        }
        Some(_) => {
            let title = "the machine is switched off; its disk keeps the appliance and what the balancer remembers";
            steps.add(Sign::Remove, "destroy", title.to_owned(), Work::Destroy);
        }
        None if wanted.is_recorded => {
            let title = "what is remembered of it: nothing was done to the machine".to_owned();
            steps.add(Sign::Remove, "forget", title, Work::Forget);
        }
        None => {}
    }
    Ok(steps.into_steps())
}

#[cfg(test)]
mod tests;
