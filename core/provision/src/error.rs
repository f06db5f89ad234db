//! Why something could not be provisioned.

use lb_model::value::Name;

use crate::program::ProgramError;
use crate::state::StoreError;
use crate::target::TargetError;
use crate::wanted::WantedError;

/// Why something could not be provisioned.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The state cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the fleet names cannot be used.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// The program that provisions cannot be given to balancers.
    #[error("this program cannot be given to balancers")]
    OwnProgram(#[source] ProgramError),
    /// A balancer is named that is not in the fleet.
    #[error("there is no balancer `{name}` in the fleet `{fleet}`")]
    Unknown {
        /// The name.
        name: Name,
        /// The fleet.
        fleet: Name,
        /// The name that was probably meant.
        nearest: Option<Name>,
    },
    /// Two programs are named for one balancer.
    #[error("the fleet names the program of {0} already")]
    TwoPrograms(Name),
    /// Something on a machine, or on the way to it.
    #[error("{balancer}: {source}")]
    Machine {
        /// The balancer.
        balancer: Name,
        /// What.
        source: Box<TargetError>,
    },
    /// A program is named for a machine whose image holds it.
    #[error("the program of {0} is in its image")]
    ProgramOfImage(Name),
    /// A step ended without an answer.
    #[error("{0}: a step ended without an answer")]
    Lost(Name),
}

impl ProvisionError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => error.help(),
            Self::Wanted(error) => error.help(),
            Self::OwnProgram(_) => {
                "name the program for Linux that they shall run: `program` in the fleet, or `--program FILE`"
                    .to_owned()
            }
            Self::Unknown { nearest, .. } => match nearest {
                Some(name) => format!("did you mean `{name}`?"),
                None => "see which there are: `lbctl provision status`".to_owned(),
            },
            Self::TwoPrograms(_) => {
                "change `program` in the fleet's document and apply it, or leave `--program` out".to_owned()
            }
            Self::ProgramOfImage(_) => {
                "name another `image` in the fleet's document and apply it, or leave this balancer out".to_owned()
            }
            Self::Machine { source, .. } => return source.help(),
            Self::Lost(_) => "the same command goes on where it was".to_owned(),
        })
    }

    /// Whether nothing was tried because the call or a document is wrong.
    pub const fn is_misuse(&self) -> bool {
        match self {
            Self::Wanted(_)
            | Self::OwnProgram(_)
            | Self::Unknown { .. }
            | Self::TwoPrograms(_)
            | Self::ProgramOfImage(_) => true,
            Self::Store(_) | Self::Machine { .. } | Self::Lost(_) => false,
        }
    }
}
