//! Balancers on hardware without a system.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::telemetry::as_text;
use crate::seed::Interface;
use crate::value::{
    ApiUrl, DiskName, Fingerprint, HostAddress, ListenAddress, Name, Period, SystemId, UserName,
};

/// Hardware with a management controller that speaks Redfish. The controller is given the installer of the appliance as
/// a CD, starts the machine from it once, and starts it from its disk when the installer has written that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedfishTarget {
    /// Where the management controller serves Redfish.
    pub controller: ApiUrl,
    /// The user of the controller.
    pub user: UserName,
    /// The file with the password of that user, seen from the directory of the fleet's file.
    #[serde(serialize_with = "as_text")]
    pub password_file: PathBuf,
    /// The SHA-256 of the certificate of the controller; when absent, one that the authorities of the system vouch for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The machine, where the controller has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemId>,
    /// The file with the image of the appliance as a CD, seen from the directory of the fleet's file.
    #[serde(serialize_with = "as_text")]
    pub image: PathBuf,
    /// Where the controller fetches that image from: an address of the machine that provisions. Port 0 takes any that is
    /// free.
    pub media_address: ListenAddress,
    /// The disk to install on, by its serial number or WWN where there are several; when absent, the only one that is
    /// neither removable nor on USB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskName>,
    /// Overwrite a disk that holds something else.
    #[serde(default)]
    pub wipe: bool,
    /// Its network interfaces, as in a seed. Without any, all of them ask for an address (DHCP).
    #[serde(default)]
    pub network: BTreeMap<Name, Interface>,
    /// The address at which the balancer is reached.
    pub address: HostAddress,
    /// For how long an installation, and a start, may take.
    #[serde(default = "start_timeout")]
    pub start_timeout: Period,
}

const fn start_timeout() -> Period {
    Period::seconds(20 * 60)
}
