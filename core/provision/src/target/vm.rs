//! A virtual machine that QEMU runs here, from the image of the appliance.
//!
//! Each machine has a folder of its own with everything of it: the image, the disk with what the balancer
//! remembers, the seed that it starts with, the socket on which QEMU takes orders (QMP), and
//! `machine.json`, which says whose it is. That file is written first and removed last, so that nothing is
//! ever there that nobody knows of.

mod bridge;
mod error;
mod folder;
mod iso;
mod look;
mod observed;
mod plan;
mod qemu;
mod qmp;
mod run;

pub use error::VmError;
pub(crate) use folder::Place;
pub(crate) use look::look;
pub use observed::Observed;
pub(crate) use plan::{Work, plan};
pub use qemu::Accelerator;
pub(crate) use run::run;
