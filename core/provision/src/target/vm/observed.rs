//! What has been seen of a virtual machine.

use lb_model::plan::Plan;
use serde::Serialize;
use serde_json::Value;

use super::folder::{Kept, Shape};
use super::qemu::Accelerator;
use crate::target::Refusal;

/// What there is of a virtual machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observed {
    #[serde(skip)]
    pub(super) kept: Option<Kept>,
    /// What it shall be made of; or why its image cannot be used, which hinders nobody to take it away.
    #[serde(skip)]
    pub(super) wanted: Result<Shape, Refusal>,
    /// Whether QEMU runs it.
    pub running: bool,
    /// The image that it starts from.
    pub image: Option<String>,
    /// What runs it: `kvm`, or `tcg`, which is software alone; when somebody has found out already.
    pub accelerator: Option<Accelerator>,
    #[serde(skip)]
    pub(super) has_access: bool,
    /// What the balancer says of itself.
    pub status: Option<Value>,
    #[serde(skip)]
    pub(super) plan: Option<Plan>,
    #[serde(skip)]
    pub(super) refused: Option<String>,
    /// Why the balancer says nothing.
    pub silent: Option<String>,
    /// What QEMU says of its version.
    #[serde(skip)]
    pub(super) qemu: String,
}

impl Observed {
    pub(crate) fn condition(&self) -> &str {
        match (&self.kept, self.running) {
            (None, _) => "absent",
            (Some(_), false) => "stopped",
            (Some(_), true) => "running",
        }
    }

    pub(crate) fn release(&self) -> Option<String> {
        let image = self.image.as_ref().filter(|_| self.running)?;
        let version = self
            .status
            .as_ref()
            .and_then(|status| status["version"].as_str());
        Some(version.map_or_else(|| image.clone(), |version| format!("{version} ({image})")))
    }

    pub(crate) fn diagnosis(&self) -> Result<String, (String, String)> {
        let with = match self.accelerator {
            Some(Accelerator::Kvm) => "with KVM",
            Some(Accelerator::Tcg) => "in software, as KVM does not work here",
            None => "the first start finds out whether KVM works",
        };
        match &self.silent {
            Some(why) if self.has_access && self.running => Err((
                format!("the balancer in the machine says nothing: {why}"),
                "see its `forwards`, and what its console says".to_owned(),
            )),
            Some(_) | None => Ok(format!("{}, {}, {with}", self.condition(), self.qemu)),
        }
    }
}
