//! Where balancers are provisioned. Each target knows how to look at a machine, what it takes to bring
//! it to what is wanted (a pure function), and how to do one step of that.

use crate::step::Step;
use crate::wanted::Wanted;

pub(crate) mod ssh;

/// What a step does, in the words of its target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// On a machine that is reached over SSH.
    Ssh(ssh::Work),
}

/// What has been seen of a balancer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// A machine that is reached over SSH.
    Ssh(Box<ssh::Observed>),
}

/// What is to become of a balancer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal<'w> {
    /// What the fleet says.
    Be(&'w Wanted),
    /// The release before the one that runs.
    GoBack(&'w Wanted),
    /// Nothing is left of it.
    Vanish(&'w Wanted),
}

impl Seen {
    /// What it takes from here to there.
    ///
    /// # Errors
    /// Why it is impossible.
    pub(crate) fn plan(&self, goal: Goal<'_>, may_adopt: bool) -> Result<Vec<Step>, ssh::Refusal> {
        match self {
            Self::Ssh(seen) => ssh::plan(seen, goal, may_adopt),
        }
    }
}
