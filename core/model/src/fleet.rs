//! The fleet: which balancers there are, where, and what each of them serves. A document of its own
//! beside those of the balancers, under the same rules: these types are its only description.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::telemetry::as_optional_text;
use crate::parse::{Draft, Format};
use crate::problem::Problem;
use crate::schema::{Shape, tidy};
use crate::value::{HostKey, ListenAddress, Machine, Name, UserName};

mod aws;
mod redfish;
mod validate;
mod vm;

pub use aws::{AwsTarget, Opening, Transport};
pub use redfish::RedfishTarget;
pub use vm::{Firmware, Forward, VmTarget};

/// The port of the admin API of machines that are made from an image.
const ADMIN_PORT: u16 = 9443;

/// Balancers that are provisioned together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// What machines are marked with, so that those of one fleet are never taken for those of another.
    pub name: Name,
    /// The balancers, by name.
    #[serde(default)]
    pub balancers: BTreeMap<Name, Balancer>,
}

/// A machine that runs `lbctl run`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balancer {
    /// Where it is.
    pub target: Target,
    /// Balancers that stand in for each other have the same cluster: they are changed one after the
    /// other, each only when the one before is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Name>,
    /// The file with the document that it serves, seen from the directory of the fleet's file. When
    /// absent, its document is left as it is.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub document: Option<PathBuf>,
    /// The file with the program that it runs, seen from the directory of the fleet's file. When absent,
    /// a new balancer gets the program that provisions it, and keeps it until `lbctl provision upgrade`.
    /// Images have a program in them already.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub program: Option<PathBuf>,
    /// Where its admin API is served over the network, in the place of what the document says; for
    /// documents that several balancers share. Machines that are made from an image have it on port 9443
    /// of every address when this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_address: Option<ListenAddress>,
}

/// Where a balancer is provisioned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A machine that runs Linux with systemd already: hardware, or a virtual machine that somebody made.
    Ssh(SshTarget),
    /// A virtual machine of the machine that provisions.
    Vm(VmTarget),
    /// A machine of EC2.
    Aws(AwsTarget),
    /// Hardware without a system, by its management controller.
    Redfish(RedfishTarget),
}

/// A machine that is reached with the `ssh` of the system: its configuration, agent, jump hosts and
/// hardware keys are used. The user must be root, or one that `sudo` asks for no password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshTarget {
    /// The machine.
    pub host: Machine,
    /// The port; when absent, what the SSH configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The user to log in as; when absent, what the SSH configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The file with the private key, seen from the directory of the fleet's file; when absent, what the
    /// SSH configuration and the agent have.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub identity_file: Option<PathBuf>,
    /// The host key that the machine must show. When absent, the `known_hosts` of whoever provisions must
    /// know the machine; a key that nobody knows is never accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

/// A fleet without contradictions. It only comes from [`read`].
#[derive(Clone, Debug, PartialEq)]
pub struct ValidFleet {
    fleet: Fleet,
    warnings: Vec<Problem>,
}

impl ValidFleet {
    /// The document.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What is legal but surely wrong.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

impl Target {
    /// The word for it in texts.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ssh(_) => "ssh",
            Self::Vm(_) => "vm",
            Self::Aws(_) => "aws",
            Self::Redfish(_) => "redfish",
        }
    }

    /// Whether the other one names the same machine, as far as names tell: what else differs is changed on it.
    pub fn is_same_machine(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ssh(one), Self::Ssh(other)) => {
                (&one.host, one.port) == (&other.host, other.port)
            }
            (Self::Vm(_), Self::Vm(_)) => true,
            (Self::Aws(one), Self::Aws(other)) => {
                (&one.region, &one.endpoint) == (&other.region, &other.endpoint)
            }
            (Self::Redfish(one), Self::Redfish(other)) => {
                (&one.controller, &one.system) == (&other.controller, &other.system)
            }
            (Self::Ssh(_) | Self::Vm(_) | Self::Aws(_) | Self::Redfish(_), _) => false,
        }
    }

    /// Whether its machines are made from an image, with everything in it, and thus can be reached through
    /// their admin API alone.
    pub const fn is_appliance(&self) -> bool {
        match self {
            Self::Ssh(_) => false,
            Self::Vm(_) | Self::Aws(_) | Self::Redfish(_) => true,
        }
    }
}

impl Balancer {
    /// Where its admin API is served over the network: what the fleet says; else machines that can be
    /// reached in no other way have it on port 9443 of every address.
    pub fn admin_address(&self) -> Option<ListenAddress> {
        let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, ADMIN_PORT));
        let default = self.target.is_appliance().then(|| ListenAddress::new(all));
        self.admin_address.or(default)
    }
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Fleet).to_value();
    tidy(&mut schema);
    schema
});

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::of_schema(&SCHEMA));

/// The JSON Schema of the fleet's document (draft 2020-12).
pub fn json_schema() -> &'static Value {
    &SCHEMA
}

/// The shape of the fleet's document.
pub fn shape() -> &'static Shape {
    &SHAPE
}

/// Reads and checks the document of a fleet.
///
/// # Errors
/// Everything that is wrong with it, warnings included, with their places in the text.
pub fn read(text: &str, format: Format) -> Result<ValidFleet, Vec<Problem>> {
    let mut draft = Draft::<Fleet>::read(text, format);
    let Some(fleet) = draft.document.take() else {
        return Err(draft.into_problems(Vec::new()));
    };
    let (errors, warnings) = validate::check(&fleet);
    if errors.is_empty() && draft.is_sound() {
        let warnings = draft.locate(warnings);
        return Ok(ValidFleet { fleet, warnings });
    }
    let found = [errors, warnings].concat();
    Err(if draft.is_sound() {
        draft.locate(found)
    } else {
        draft.into_problems(found)
    })
}
