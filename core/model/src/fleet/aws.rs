//! Balancers on machines of EC2.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{
    ApiUrl, AwsImage, AwsInstanceType, AwsProfile, AwsRegion, AwsSubnet, Cidr, Name, Period,
    PublicKey, TagValue,
};

/// A machine of EC2 that is made from the image of the appliance. Its disk is encrypted, its metadata want a token
/// (`IMDSv2`), and its admin API is open to `admin_networks` alone. Credentials are found as the AWS command line finds
/// them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsTarget {
    /// The region.
    pub region: AwsRegion,
    /// The image of the appliance in that region.
    pub image: AwsImage,
    /// The type of the machine.
    #[serde(default = "instance_type")]
    pub instance_type: AwsInstanceType,
    /// The subnet; when absent, one of the default network of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<AwsSubnet>,
    /// From where its admin API can be reached; whoever provisions must be among them. The whole world is
    /// refused.
    pub admin_networks: Vec<Cidr>,
    /// The ports that are open to clients.
    #[serde(default)]
    pub services: Vec<Opening>,
    /// An address that stays when the machine is made anew.
    #[serde(default)]
    pub elastic_address: bool,
    /// A public key for images that let somebody log in over SSH; the appliance lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKey>,
    /// The size of the disk in GiB; when absent, that of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16384))]
    pub disk_gib: Option<u16>,
    /// A machine that costs less, and that EC2 may take away at any time (spot).
    #[serde(default)]
    pub spot: bool,
    /// Tags of everything that is made for it.
    #[serde(default)]
    pub tags: BTreeMap<Name, TagValue>,
    /// The profile of the AWS command line; when absent, what the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<AwsProfile>,
    /// Another address of the EC2 API: for gateways, and for who stands in for AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<ApiUrl>,
    /// For how long its balancer may take to answer after a start.
    #[serde(default = "start_timeout")]
    pub start_timeout: Period,
}

/// A port that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Transport,
    /// Who may reach it; without any, everybody.
    #[serde(default)]
    pub networks: Vec<Cidr>,
}

/// What carries a protocol.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// HTTP/1.1, HTTP/2, TLS, and most others.
    #[default]
    Tcp,
    /// HTTP/3, DNS.
    Udp,
}

impl Transport {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

fn instance_type() -> AwsInstanceType {
    "t3.small".parse().expect("a type of a machine")
}

const fn start_timeout() -> Period {
    Period::seconds(300)
}
