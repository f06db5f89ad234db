//! What is going to be done to the machines of a fleet, for people and programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use lb_model::plan::{self, Effect};
use lb_model::value::Name;
use serde::Serialize;

use crate::step::{Sign, Step};
use crate::target::Work;

/// What is going to be done to a fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FleetPlan {
    /// The fleet.
    pub fleet: Name,
    /// What is going to be done to each balancer, by name.
    pub balancers: BTreeMap<Name, BalancerPlan>,
}

/// What is going to be done to a balancer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BalancerPlan {
    /// Where it is, such as `ssh 10.0.0.5`.
    pub target: String,
    /// Who else must not be changed at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Name>,
    /// What was under way when the last run was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
    /// The steps, in their order; none when it is as it shall be.
    pub steps: Vec<Step>,
    /// Why nothing can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl FleetPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.balancers
            .values()
            .all(|balancer| balancer.steps.is_empty())
    }

    /// Whether something stands in the way.
    pub fn has_problems(&self) -> bool {
        self.balancers
            .values()
            .any(|balancer| balancer.problem.is_some())
    }
}

/// The plan for people, with colours for a terminal or without.
pub fn render(fleet: &FleetPlan, with_colours: bool) -> String {
    let mut out = String::new();
    for (name, balancer) in &fleet.balancers {
        // Writing to a `String` cannot fail.
        let _ = one(&mut out, name, balancer, with_colours);
    }
    let _ = total(&mut out, fleet, with_colours);
    out
}

struct Colours {
    strong: &'static str,
    bad: &'static str,
    off: &'static str,
}

const fn colours(with: bool) -> Colours {
    if with {
        Colours {
            strong: "\u{1b}[1m",
            bad: "\u{1b}[1;31m",
            off: "\u{1b}[0m",
        }
    } else {
        Colours {
            strong: "",
            bad: "",
            off: "",
        }
    }
}

fn one(out: &mut String, name: &Name, balancer: &BalancerPlan, with: bool) -> std::fmt::Result {
    let Colours { strong, bad, off } = colours(with);
    let BalancerPlan {
        target,
        cluster,
        interrupted,
        steps,
        problem,
        help,
    } = balancer;
    let cluster = cluster
        .as_ref()
        .map(|cluster| format!(", cluster {cluster}"));
    writeln!(
        out,
        "{strong}{name}{off} ({target}{})",
        cluster.unwrap_or_default()
    )?;
    if let Some(step) = interrupted {
        writeln!(out, "  the last run was interrupted in the step `{step}`")?;
    }
    if let Some(problem) = problem {
        writeln!(
            out,
            "  {bad}error:{off} {}",
            problem.replace('\n', "\n    ")
        )?;
        if let Some(help) = help {
            writeln!(out, "  {strong}help:{off} {help}")?;
        }
    } else if steps.is_empty() {
        writeln!(out, "  as it shall be")?;
    }
    for step in steps {
        let sign_colour = match (with, step.sign) {
            (false, _) => "",
            (true, Sign::Add) => "\u{1b}[32m",
            (true, Sign::Change) => "\u{1b}[33m",
            (true, Sign::Remove) => "\u{1b}[31m",
        };
        let sign = step.sign.sign();
        let (title, effect) = (&step.title, effect(step));
        writeln!(out, "  {sign_colour}{sign}{off} {title}{effect}")?;
        if let Some(changes) = &step.changes {
            let render = if with {
                plan::render_ansi
            } else {
                plan::render
            };
            let text = render(changes);
            for line in text.lines().take_while(|line| !line.is_empty()) {
                writeln!(out, "      {line}")?;
            }
        }
    }
    writeln!(out)
}

/// A step as a line for people, and what changes in the document below it.
pub(crate) fn lines(step: &Step) -> Vec<String> {
    let (sign, title) = (step.sign.sign(), &step.title);
    let mut lines = vec![format!("{sign} {title}{}", effect(step))];
    if let Some(changes) = &step.changes {
        let text = plan::render(changes);
        let changed = text.lines().take_while(|line| !line.is_empty());
        lines.extend(changed.map(|line| format!("    {line}")));
    }
    lines
}

/// What a step does to traffic, when it does something.
fn effect(step: &Step) -> &'static str {
    match (step.effect, step.changes.is_some()) {
        (Effect::Restart, _)
            if matches!(step.work, Work::Vm(_) | Work::Aws(_) | Work::Redfish(_)) =>
        {
            "   restart: open requests finish, and nobody is served until it is up again"
        }
        (_, true) | (Effect::Live, _) => "",
        (Effect::Drain | Effect::Rebind, _) => "   drain: open requests finish",
        (Effect::Restart, _) => "   restart: in force after the next one of the service",
    }
}

fn total(out: &mut String, fleet: &FleetPlan, with: bool) -> std::fmt::Result {
    let Colours { strong, off, .. } = colours(with);
    let steps: usize = fleet
        .balancers
        .values()
        .map(|balancer| balancer.steps.len())
        .sum();
    let changed = fleet
        .balancers
        .values()
        .filter(|balancer| !balancer.steps.is_empty())
        .count();
    let plural =
        |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    if fleet.has_problems() {
        let with_problem = fleet
            .balancers
            .values()
            .filter(|balancer| balancer.problem.is_some());
        let count = with_problem.count();
        return writeln!(
            out,
            "{strong}Plan:{off} {} cannot be changed.",
            plural(count, "balancer")
        );
    }
    if steps == 0 {
        return writeln!(out, "No changes.");
    }
    let (steps, balancers) = (plural(steps, "step"), plural(changed, "balancer"));
    writeln!(out, "{strong}Plan:{off} {steps} on {balancers}.")
}
