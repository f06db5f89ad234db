//! What it takes to bring a machine from what it is to what is wanted: a pure function, so that it can be
//! shown before anything is done, and tried without a machine.

use std::collections::BTreeSet;

use lb_model::plan::Effect;

use super::observed::Observed;
use super::script::{PROGRAM, unit};
use crate::step::{Sign, Step, Steps};
use crate::target::{self, Goal};
use crate::wanted::{Owner, Wanted, WantedProgram, sha256};

/// How many releases stay on a machine, the one in force among them.
const RELEASES_KEPT: usize = 3;

/// What a step does on a machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    Claim { take_over: bool },
    Account,
    Release,
    Unit,
    File,
    Switch(String),
    Document,
    Access,
    Prune(Vec<String>),
    Destroy,
    Forget,
}

impl From<Work> for target::Work {
    fn from(work: Work) -> Self {
        Self::Ssh(work)
    }
}

/// Why a machine cannot become what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it runs {0} and not Linux with systemd")]
    NotLinux(String),
    #[error("the program is for {program}, and the machine is {machine}")]
    OtherMachine {
        program: &'static str,
        machine: String,
    },
    #[error("it belongs to somebody else: {0}")]
    NotOurs(String),
    #[error("there is a balancer that was installed in another way: {0}")]
    Foreign(String),
    #[error("the balancer on it does not take the document: {0}")]
    Document(String),
    #[error("there is no earlier release on it")]
    NothingEarlier,
    #[error("there is no balancer on it")]
    Bare,
}

impl Refusal {
    /// What to do about it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::NotLinux(_) => "install a Linux with systemd on it first",
            Self::OtherMachine { .. } => "name a program for this machine with `program`",
            Self::NotOurs(_) => {
                "see whether the right fleet and machine are named; when it shall be ours from now on: \
                 `lbctl provision adopt`"
            }
            Self::Foreign(_) => {
                "remove it, or take it over with what it remembers: `lbctl provision adopt`"
            }
            Self::Document(_) => "mend the document; nothing was changed",
            Self::NothingEarlier => {
                "name the program to go back to: `lbctl provision upgrade --program FILE`"
            }
            Self::Bare => "install one first: `lbctl provision apply`",
        }
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
    if seen.system != "Linux" || !seen.systemd {
        return Err(Refusal::NotLinux(seen.system.clone()));
    }
    let mut steps = Steps::of(wanted);
    claim(seen, wanted, may_adopt, &mut steps)?;
    if !seen.account {
        steps.add(
            Sign::Add,
            "account",
            "user lbctl, which it runs as".to_owned(),
            Work::Account,
        );
    }
    let release = release(seen, wanted, &mut steps)?;
    installed(seen, wanted, &release, &mut steps);
    document(seen, wanted, &mut steps)?;
    // Tokens go with the state of the balancer that they were made for.
    if wanted.balancer.admin_address.is_some() && !(wanted.access.is_some() && seen.state) {
        let title = "token for administration from here".to_owned();
        steps.add(Sign::Add, "access", title, Work::Access);
    }
    prune(seen, &release, &mut steps);
    Ok(steps.into_steps())
}

fn claim(
    seen: &Observed,
    wanted: &Wanted,
    may_adopt: bool,
    steps: &mut Steps<'_>,
) -> Result<(), Refusal> {
    let ours = seen
        .owner
        .as_ref()
        .is_some_and(|owner| is_ours(owner, wanted));
    let name = &wanted.owner.fleet;
    match (&seen.owner, &seen.foreign) {
        (Some(_), _) if ours => {}
        (Some(owner), _) if !may_adopt => return Err(Refusal::NotOurs(owner.clone())),
        (None, Some(unit)) if !may_adopt => return Err(Refusal::Foreign(unit.clone())),
        (Some(owner), _) => {
            let title = format!("mark of the fleet {name}, in the place of {owner}");
            steps.add(
                Sign::Change,
                "claim",
                title,
                Work::Claim { take_over: true },
            );
        }
        (None, _) => {
            let title = format!("mark of the fleet {name}");
            steps.add(Sign::Add, "claim", title, Work::Claim { take_over: false });
        }
    }
    Ok(())
}

pub(super) fn is_ours(owner: &str, wanted: &Wanted) -> bool {
    serde_json::from_str(owner).is_ok_and(|owner: Owner| owner == wanted.owner)
}

/// Installs the release that is wanted, unless it is there. Gives its name.
fn release(seen: &Observed, wanted: &Wanted, steps: &mut Steps<'_>) -> Result<String, Refusal> {
    let program = match (&wanted.program, &seen.current) {
        (WantedProgram::AsItIs(_), Some(current)) if seen.releases.contains_key(current) => {
            return Ok(current.clone());
        }
        (WantedProgram::AsItIs(program) | WantedProgram::This(program), _) => program,
    };
    let release = program.release();
    if seen.digests.get(&release) == Some(&program.sha256) {
        return Ok(release);
    }
    if program.machine != seen.machine {
        return Err(Refusal::OtherMachine {
            program: program.machine,
            machine: seen.machine.clone(),
        });
    }
    let megabytes = program.bytes.div_ceil(1 << 20);
    let title = format!("release {release}, {megabytes} MiB");
    steps.add(Sign::Add, "release", title, Work::Release);
    Ok(release)
}

/// The unit, the file that a first start begins with, and the release in force.
fn installed(seen: &Observed, wanted: &Wanted, release: &str, steps: &mut Steps<'_>) {
    let unit_is_good = seen.unit.as_deref() == Some(&sha256(&unit()));
    if !unit_is_good || seen.program.as_deref() != Some(PROGRAM) {
        let sign = if seen.unit.is_some() {
            Sign::Change
        } else {
            Sign::Add
        };
        let title = "unit lbctl.service for systemd".to_owned();
        let step = steps.add(sign, "unit", title, Work::Unit);
        if !unit_is_good && seen.active == "active" {
            step.effect = Effect::Restart;
        }
    }
    let is_running = seen.status.is_some();
    // A file that is there already is left as it is when no document is wanted.
    let is_left = wanted.document.is_none() && seen.file.is_some();
    if let Some(document) = wanted.first_document()
        && !(is_running || is_left)
        && seen.file.as_deref() != Some(&document.sha256)
    {
        let sign = if seen.file.is_some() {
            Sign::Change
        } else {
            Sign::Add
        };
        let title = "document /etc/lbctl/lb.toml, which it starts with".to_owned();
        steps.add(sign, "file", title, Work::File);
    }
    let is = |found: &Option<String>| found.as_deref() == Some(release);
    if is(&seen.serving) && is(&seen.current) && is_running && seen.enabled {
        return;
    }
    let words = seen.release_words(release);
    let work = Work::Switch(release.to_owned());
    match &seen.serving {
        Some(before) if before != release => {
            let title = format!(
                "release in force: {} -> {words}",
                seen.release_words(before)
            );
            steps.add(Sign::Change, "switch", title, work).effect = Effect::Drain;
        }
        Some(_) => {
            steps.add(
                Sign::Change,
                "switch",
                format!("release {words} also after a restart"),
                work,
            );
        }
        None => {
            steps.add(Sign::Add, "switch", format!("release {words} serves"), work);
        }
    }
}

fn document(seen: &Observed, wanted: &Wanted, steps: &mut Steps<'_>) -> Result<(), Refusal> {
    if wanted.document.is_none() || seen.status.is_none() {
        return Ok(());
    }
    if let Some(refused) = &seen.refused {
        return Err(Refusal::Document(refused.clone()));
    }
    if let Some(plan) = seen.plan.as_ref().filter(|plan| !plan.is_empty()) {
        let step = steps.add(
            Sign::Change,
            "document",
            "document".to_owned(),
            Work::Document,
        );
        step.effect = plan.effect();
        step.changes = Some(plan.clone());
    }
    Ok(())
}

/// Takes away what is older than the releases that somebody may go back to.
fn prune(seen: &Observed, release: &str, steps: &mut Steps<'_>) {
    let past = seen.past.iter().map(String::as_str);
    let mut kept: Vec<&str> = Vec::new();
    for name in past.chain(seen.serving.as_deref()).chain([release]).rev() {
        if kept.len() < RELEASES_KEPT && !kept.contains(&name) {
            kept.push(name);
        }
    }
    let kept: BTreeSet<&str> = kept.into_iter().chain(seen.current.as_deref()).collect();
    let old: Vec<String> = seen
        .releases
        .keys()
        .filter(|name| !kept.contains(name.as_str()))
        .cloned()
        .collect();
    if !old.is_empty() {
        let title = format!("releases of old: {}", old.join(", "));
        steps.add(Sign::Remove, "prune", title, Work::Prune(old));
    }
}

fn go_back(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    match &seen.owner {
        None => return Err(Refusal::Bare),
        Some(owner) if !is_ours(owner, wanted) => return Err(Refusal::NotOurs(owner.clone())),
        Some(_) => {}
    }
    let current = seen.current.as_ref();
    let is_there = |name: &&String| seen.releases.contains_key(*name) && Some(*name) != current;
    let before = seen.past.iter().rev().find(is_there);
    let before = before.ok_or(Refusal::NothingEarlier)?;
    let mut steps = Steps::of(wanted);
    let from = seen.serving.as_ref().or(current);
    let from = from.map_or_else(|| "none".to_owned(), |name| seen.release_words(name));
    let title = format!("release in force: {from} -> {}", seen.release_words(before));
    steps
        .add(Sign::Change, "switch", title, Work::Switch(before.clone()))
        .effect = Effect::Drain;
    Ok(steps.into_steps())
}

fn vanish(seen: &Observed, wanted: &Wanted) -> Result<Vec<Step>, Refusal> {
    match &seen.owner {
        Some(owner) if !is_ours(owner, wanted) => return Err(Refusal::NotOurs(owner.clone())),
        Some(_) => {}
        // Without a mark nothing here is ours, whatever it is.
        None => {
            let mut steps = Steps::of(wanted);
            if wanted.is_recorded {
                let title = "what is remembered of it: it is gone from the machine".to_owned();
                steps.add(Sign::Remove, "forget", title, Work::Forget);
            }
            return Ok(steps.into_steps());
        }
    }
    let mut steps = Steps::of(wanted);
    let title =
        "balancer, its releases, its state and its user; open requests finish first".to_owned();
    steps
        .add(Sign::Remove, "destroy", title, Work::Destroy)
        .effect = Effect::Drain;
    Ok(steps.into_steps())
}

#[cfg(test)]
mod tests;
