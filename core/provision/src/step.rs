//! Steps: what is done to a machine, one thing after the other.

use lb_model::plan::{Effect, Plan};
use lb_model::value::Name;
use serde::Serialize;

use crate::target::Work;
use crate::wanted::Wanted;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The balancer that it is about.
    #[serde(skip)]
    pub balancer: Name,
    /// The word for it, such as `release`.
    pub step: &'static str,
    /// What it does, for people.
    pub title: String,
    /// Whether something comes, changes or goes.
    pub sign: Sign,
    /// What it does to traffic.
    pub effect: Effect,
    /// What changes in the document of the balancer, when that is what it does and the balancer could
    /// say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Plan>,
    /// What is done.
    #[serde(skip)]
    pub(crate) work: Work,
}

impl Step {
    /// What it does and what that does to traffic, for people: one line, and below it those with what changes
    /// in the document.
    pub fn lines(&self) -> Vec<String> {
        crate::plan::lines(self)
    }
}

/// Whether something comes, changes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Something that was not there.
    Add,
    /// Something else than before.
    Change,
    /// Something goes.
    Remove,
}

impl Sign {
    /// The sign that stands for it in texts.
    pub const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Remove => '-',
        }
    }
}

/// The steps of one balancer, while they are planned.
pub(crate) struct Steps<'w> {
    wanted: &'w Wanted,
    steps: Vec<Step>,
}

impl<'w> Steps<'w> {
    pub(crate) const fn of(wanted: &'w Wanted) -> Self {
        Self {
            wanted,
            steps: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        sign: Sign,
        step: &'static str,
        title: String,
        work: impl Into<Work>,
    ) -> &mut Step {
        self.steps.push(Step {
            balancer: self.wanted.name.clone(),
            step,
            title,
            sign,
            effect: Effect::Live,
            changes: None,
            work: work.into(),
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// Whether there is a step with this word.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.steps.iter().any(|step| step.step == word)
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}
