//! What has been seen of hardware.

use lb_model::plan::Plan;
use serde::Serialize;
use serde_json::Value;

use super::folder::Kept;
use crate::target::Refusal;

/// What there is of a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observed {
    #[serde(skip)]
    pub(super) kept: Option<Kept>,
    /// The image that it shall have; or why that cannot be used, which hinders nobody to take the machine away.
    #[serde(skip)]
    pub(super) wanted: Result<String, Refusal>,
    /// The name of the machine behind its controller.
    pub system: String,
    /// Whether it is on, in a word.
    pub power: String,
    /// The image that it has.
    pub image: Option<String>,
    /// What somebody has written on it, where the controller keeps that.
    pub asset_tag: Option<String>,
    #[serde(skip)]
    pub(super) has_access: bool,
    /// There is a token for the first administration that was not used yet.
    #[serde(skip)]
    pub(super) has_enrolment_token: bool,
    /// What the balancer says of itself.
    pub status: Option<Value>,
    #[serde(skip)]
    pub(super) plan: Option<Plan>,
    #[serde(skip)]
    pub(super) refused: Option<String>,
    /// Why the balancer says nothing.
    pub silent: Option<String>,
}

impl Observed {
    pub(super) fn is_off(&self) -> bool {
        self.power == "off"
    }

    pub(crate) fn condition(&self) -> &str {
        match (&self.kept, self.power.as_str()) {
            (None, _) => "absent",
            (Some(_), "on") => "running",
            (Some(_), "off") => "stopped",
            (Some(_), power) => power,
        }
    }

    pub(crate) fn release(&self) -> Option<String> {
        let image = self.image.as_ref().filter(|_| !self.is_off())?;
        let version = self
            .status
            .as_ref()
            .and_then(|status| status["version"].as_str());
        Some(version.map_or_else(|| image.clone(), |version| format!("{version} ({image})")))
    }

    pub(crate) fn diagnosis(&self) -> Result<String, (String, String)> {
        if let Err(refusal) = &self.wanted {
            return Err((refusal.why.clone(), refusal.help.clone()));
        }
        match &self.silent {
            Some(why) if self.has_access && !self.is_off() => Err((
                format!("the balancer on the machine says nothing: {why}"),
                "see `address`, and what stands on the screen of the machine".to_owned(),
            )),
            Some(_) | None => Ok(format!("system {}, {}", self.system, self.power)),
        }
    }
}
