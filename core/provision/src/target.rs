//! Where balancers are provisioned. Each target knows how to look at a machine, what it takes to bring
//! it to what is wanted (a pure function), and how to do one step of that.

use std::path::Path;

use lb_model::fleet::Target;
use serde::Serialize;
use serde_json::Value;

use crate::event::Events;
use crate::step::{Sign, Step, Steps};
use crate::wanted::{Access, Owner, Wanted};

pub(crate) mod appliance;
pub(crate) mod aws;
pub(crate) mod redfish;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod seed;
pub(crate) mod ssh;
pub(crate) mod vm;

/// What a step does, in the words of its target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// On a machine that is reached over SSH.
    Ssh(ssh::Work),
    /// To a virtual machine.
    Vm(vm::Work),
    /// To a machine of EC2.
    Aws(aws::Work),
    /// To hardware without a system.
    Redfish(redfish::Work),
}

/// What has been seen of a balancer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Seen {
    /// A machine that is reached over SSH.
    Ssh(Box<ssh::Observed>),
    /// A virtual machine.
    Vm(Box<vm::Observed>),
    /// A machine of EC2.
    Aws(Box<aws::Observed>),
    /// Hardware without a system.
    Redfish(Box<redfish::Observed>),
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

/// What a step leaves behind for whoever provisions.
#[derive(Debug)]
pub(crate) enum Left {
    Nothing,
    Access(Access),
    /// The balancer is gone.
    Gone,
}

/// Why a machine cannot become what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) help: String,
}

/// Says why, and what to do about it.
pub(crate) fn refusal(why: String, help: &str) -> Refusal {
    let help = help.to_owned();
    Refusal { why, help }
}

/// Somebody else has it.
pub(crate) fn not_ours(whose: &str) -> Refusal {
    refusal(
        format!("it belongs to somebody else: {whose}"),
        "see whether the right fleet is named; when it shall be ours from now on: `lbctl provision adopt`",
    )
}

/// What a balancer says to the document that it shall have.
#[derive(Debug)]
pub(crate) struct Said<'s> {
    pub(crate) refused: Option<&'s String>,
    /// What it would change; nothing when it cannot be asked.
    pub(crate) plan: Option<&'s lb_model::plan::Plan>,
}

/// Gives a balancer its document with this work, unless it has it. Under this title when nobody knows.
pub(crate) fn document(
    steps: &mut Steps<'_>,
    said: &Said<'_>,
    unknown: &str,
    work: impl Into<Work>,
) -> Result<(), Refusal> {
    if let Some(refused) = said.refused {
        let why = format!("its balancer does not take the document: {refused}");
        return Err(refusal(why, "mend the document; nothing was changed"));
    }
    match said.plan {
        Some(plan) if plan.is_empty() => {}
        Some(plan) => {
            let step = steps.add(Sign::Change, "document", "document".to_owned(), work);
            step.effect = plan.effect();
            step.changes = Some(plan.clone());
        }
        None => {
            steps.add(Sign::Change, "document", unknown.to_owned(), work);
        }
    }
    Ok(())
}

/// How the step is called when nobody knows which document a balancer has.
pub(crate) const DOCUMENT_MAYBE: &str = "document, as far as the balancer has another one";

/// Why something could not be done to a machine.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// To one that is reached over SSH.
    #[error(transparent)]
    Ssh(#[from] ssh::SshError),
    /// To a virtual one.
    #[error(transparent)]
    Vm(#[from] vm::VmError),
    /// To one of EC2.
    #[error(transparent)]
    Aws(#[from] aws::AwsError),
    /// To hardware.
    #[error(transparent)]
    Redfish(#[from] redfish::RedfishError),
}

impl TargetError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Ssh(error) => Some(error.help()),
            Self::Vm(error) => error.help(),
            Self::Aws(error) => error.help(),
            Self::Redfish(error) => error.help(),
        }
    }
}

/// The way to a machine.
#[derive(Debug)]
pub(crate) enum Place {
    Ssh(ssh::Connection),
    Vm(vm::Place),
    Aws(aws::Place),
    Redfish(redfish::Place),
}

impl Place {
    /// The way to this one. Files are seen from `base`. Nothing is done yet.
    pub(crate) fn new(target: &Target, base: &Path, owner: &Owner) -> Result<Self, TargetError> {
        Ok(match target {
            Target::Ssh(target) => Self::Ssh(ssh::Connection::new(target, base)?),
            Target::Vm(target) => Self::Vm(vm::Place::new(target, base, owner)?),
            Target::Aws(target) => Self::Aws(aws::Place::new(target)?),
            Target::Redfish(target) => Self::Redfish(redfish::Place::new(target, base, owner)?),
        })
    }

    pub(crate) async fn look(&self, wanted: &Wanted) -> Result<Seen, TargetError> {
        Ok(match self {
            Self::Ssh(connection) => Seen::Ssh(Box::new(ssh::look(connection, wanted).await?)),
            Self::Vm(place) => Seen::Vm(Box::new(vm::look(place, wanted).await?)),
            Self::Aws(place) => Seen::Aws(Box::new(aws::look(place, wanted).await?)),
            Self::Redfish(place) => Seen::Redfish(Box::new(redfish::look(place, wanted).await?)),
        })
    }

    /// Does a step, which must be one of this target.
    pub(crate) async fn run(
        &self,
        wanted: &Wanted,
        work: &Work,
        events: &Events,
    ) -> Result<Left, TargetError> {
        match (self, work) {
            (Self::Ssh(connection), Work::Ssh(work)) => {
                Ok(ssh::run(connection, wanted, work, events).await?)
            }
            (Self::Vm(place), Work::Vm(work)) => Ok(vm::run(place, wanted, work).await?),
            (Self::Aws(place), Work::Aws(work)) => Ok(aws::run(place, wanted, work, events).await?),
            (Self::Redfish(place), Work::Redfish(work)) => {
                Ok(redfish::run(place, wanted, work, events).await?)
            }
            // A plan is made by the same target that does it.
            (_, Work::Ssh(_) | Work::Vm(_) | Work::Aws(_) | Work::Redfish(_)) => Ok(Left::Nothing),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Ssh(connection) => connection.close().await,
            Self::Vm(_) | Self::Aws(_) | Self::Redfish(_) => {}
        }
    }

    /// Where it is, such as `ssh 10.0.0.5`.
    pub(crate) fn words(target: &Target) -> String {
        match target {
            Target::Ssh(ssh) => format!("ssh {}", ssh.host),
            Target::Vm(_) => "vm".to_owned(),
            Target::Aws(aws) => format!("aws {}", aws.region),
            Target::Redfish(redfish) => format!("redfish {}", redfish.controller),
        }
    }
}

impl Seen {
    /// What it takes from here to there.
    ///
    /// # Errors
    /// Why it is impossible.
    pub(crate) fn plan(&self, goal: Goal<'_>, may_adopt: bool) -> Result<Vec<Step>, Refusal> {
        match self {
            Self::Ssh(seen) => ssh::plan(seen, goal, may_adopt).map_err(|refusal| Refusal {
                why: refusal.to_string(),
                help: refusal.help().to_owned(),
            }),
            Self::Vm(seen) => vm::plan(seen, goal, may_adopt),
            Self::Aws(seen) => aws::plan(seen, goal, may_adopt),
            Self::Redfish(seen) => redfish::plan(seen, goal, may_adopt),
        }
    }

    /// What its balancer says of itself, when it answers.
    pub fn status(&self) -> Option<&Value> {
        match self {
            Self::Ssh(seen) => seen.status.as_ref(),
            Self::Vm(seen) => seen.status.as_ref(),
            Self::Aws(seen) => seen.status.as_ref(),
            Self::Redfish(seen) => seen.status.as_ref(),
        }
    }

    /// What it is doing, in a word.
    pub fn condition(&self) -> &str {
        match self {
            Self::Ssh(seen) => &seen.active,
            Self::Vm(seen) => seen.condition(),
            Self::Aws(seen) => seen.condition(),
            Self::Redfish(seen) => seen.condition(),
        }
    }

    /// The release that serves, in words.
    pub fn release(&self) -> Option<String> {
        match self {
            Self::Ssh(seen) => {
                let release = seen.serving.as_ref()?;
                Some(seen.release_words(release))
            }
            Self::Vm(seen) => seen.release(),
            Self::Aws(seen) => seen.release(),
            Self::Redfish(seen) => seen.release(),
        }
    }

    /// Whether what it needs is there, in words; and what to do when not.
    ///
    /// # Errors
    /// What is missing.
    pub fn diagnosis(&self) -> Result<String, (String, String)> {
        match self {
            Self::Ssh(seen) => seen.diagnosis(),
            Self::Vm(seen) => seen.diagnosis(),
            Self::Aws(seen) => seen.diagnosis(),
            Self::Redfish(seen) => seen.diagnosis(),
        }
    }
}
