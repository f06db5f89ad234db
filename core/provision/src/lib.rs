//! Puts balancers on machines. A [`Fleet`](lb_model::fleet::Fleet) says what shall be;
//! [`Session::discover`] looks at what is, [`Session::plan`] says what it takes, [`Session::execute`]
//! does it step by step. What was interrupted is taken up by doing the same again: each step is
//! harmless when it was done before, and machines say themselves whose they are.
//!
//! This crate never asks and never prints: whoever calls it hears of everything as [`Event`]s.

mod error;
mod event;
mod execute;
mod files;
mod journal;
mod memory;
mod plan;
mod program;
mod session;
mod state;
mod step;
mod target;
mod wanted;

pub use error::ProvisionError;
pub use event::{Event, Events};
pub use execute::{Outcome, Stop};
pub use files::FilesError;
pub use memory::Held;
pub use plan::{BalancerPlan, FleetPlan, render};
pub use program::{Program, ProgramError};
pub use session::{Intent, Presence, Session};
pub use state::{Store, StoreError};
pub use step::{Sign, Step};
pub use target::aws::{AwsError, Observed as AwsMachine};
pub use target::redfish::{Observed as Hardware, RedfishError};
pub use target::ssh::{Observed as SshMachine, SshError};
pub use target::vm::{Accelerator, Observed as VirtualMachine, VmError};
pub use target::{Seen, TargetError};
pub use wanted::{Access, Wanted, WantedError};
