//! What has been seen of a balancer in EC2.

use std::net::IpAddr;

use lb_model::fleet::AwsTarget;
use lb_model::plan::Plan;
use serde::Serialize;
use serde_json::Value;

use super::facts::Facts;
use crate::target::Refusal;

/// What there is of a machine of EC2.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observed {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The machine.
    pub instance: Option<String>,
    /// What it is doing, as EC2 says.
    pub state: Option<&'static str>,
    /// Where it is reached.
    pub address: Option<IpAddr>,
    /// The image that it was made of.
    pub image: Option<String>,
    /// Its type.
    pub instance_type: Option<String>,
    /// The security group.
    pub security_group: Option<String>,
    #[serde(skip)]
    pub(super) condition: String,
    #[serde(skip)]
    pub(super) facts: Facts,
    #[serde(skip)]
    pub(super) target: AwsTarget,
    /// The network that it is or shall be in; or why it can be in none.
    #[serde(skip)]
    pub(super) network: Result<String, Refusal>,
    /// Why no machine can be made of the image.
    #[serde(skip)]
    pub(super) unfit: Option<Refusal>,
    #[serde(skip)]
    pub(super) has_access: bool,
    /// Where it was reached when whoever provisions wrote that down is not where it is reached now.
    #[serde(skip)]
    pub(super) has_moved: bool,
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
    pub(crate) fn condition(&self) -> &str {
        &self.condition
    }

    pub(crate) fn release(&self) -> Option<String> {
        let image = self.image.as_ref()?;
        let version = self
            .status
            .as_ref()
            .and_then(|status| status["version"].as_str());
        Some(version.map_or_else(|| image.clone(), |version| format!("{version} ({image})")))
    }

    pub(crate) fn diagnosis(&self) -> Result<String, (String, String)> {
        let Self {
            account, region, ..
        } = self;
        if let (Some(why), true) = (&self.silent, self.state == Some("running")) {
            return Err((
                format!("the balancer in the machine says nothing: {why}"),
                "see whether `admin_networks` has the address that you come from".to_owned(),
            ));
        }
        let more = match self.instance {
            Some(_) => "",
            None => ", a machine would be permitted",
        };
        Ok(format!(
            "{}, account {account}, {region}{more}",
            self.condition
        ))
    }
}
