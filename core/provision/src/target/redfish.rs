//! Hardware without a system, by its management controller.
//!
//! The controller is given the installer of the appliance as a CD, which is served from here as long as it takes, starts
//! the machine from it once, and starts it from its disk afterwards. The seed of the machine is put into the CD while it
//! is sent. Controllers forget and misreport; so nothing is believed that they say of themselves but whether the machine
//! is on: the installer switches it off when it is done.

mod client;
mod error;
mod folder;
mod images;
mod look;
mod machine;
mod media;
mod observed;
mod plan;
mod run;
mod slot;

pub use error::RedfishError;
pub(crate) use folder::Place;
pub(crate) use look::look;
pub use observed::Observed;
pub(crate) use plan::{Work, plan};
pub(crate) use run::run;
