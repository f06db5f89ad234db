//! Balancers on virtual machines of the machine that provisions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::telemetry::as_text;
use crate::seed::Interface;
use crate::value::{HostAddress, InterfaceName, ListenAddress, Name, Period};

/// A virtual machine that QEMU runs on the machine from which it is provisioned, from the image of the
/// appliance. With the virtualization of the processor where that works, else in software.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmTarget {
    /// The file with the image of the appliance (qcow2 or raw), seen from the directory of the fleet's file.
    #[serde(serialize_with = "as_text")]
    pub image: PathBuf,
    /// How much memory it has, in MiB.
    #[serde(default = "memory_mib")]
    #[schemars(range(min = 192, max = 1_048_576))]
    pub memory_mib: u32,
    /// How many processors it has.
    #[serde(default = "processors")]
    #[schemars(range(min = 1, max = 256))]
    pub processors: u16,
    /// The size of the disk with what the balancer remembers, in GiB. It is made once.
    #[serde(default = "state_gib")]
    #[schemars(range(min = 1, max = 1024))]
    pub state_gib: u16,
    /// How it starts.
    #[serde(default)]
    pub firmware: Firmware,
    /// For how long its balancer may take to answer after a start. With another image that takes longer, the
    /// machine gets the one before back.
    #[serde(default = "start_timeout")]
    pub start_timeout: Period,
    /// What is passed on into the machine, TCP and UDP alike. Without `bridges` it has no other way in, and one must
    /// go to the port of the admin API, 9443 unless `admin_address` says another one.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Bridges of the machine that provisions to which it is connected: a card for each, in this order, behind the one
    /// of `forwards`. Only root may connect machines to bridges.
    #[serde(default)]
    pub bridges: Vec<InterfaceName>,
    /// Its network interfaces, as in a seed. Without any, all of them ask for an address (DHCP).
    #[serde(default)]
    pub network: BTreeMap<Name, Interface>,
    /// The address at which its balancer is reached, when that is on a bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<HostAddress>,
}

/// How a machine starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// As a PC since 1981: the faster start.
    #[default]
    Bios,
    /// As machines of today do.
    Uefi,
}

impl Firmware {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

/// A port of the machine that provisions, passed on into the virtual one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Where clients connect to.
    pub address: ListenAddress,
    /// The port in the virtual machine.
    #[schemars(range(min = 1))]
    pub port: u16,
}

const fn memory_mib() -> u32 {
    512
}

const fn processors() -> u16 {
    1
}

const fn state_gib() -> u16 {
    1
}

const fn start_timeout() -> Period {
    Period::seconds(120)
}
