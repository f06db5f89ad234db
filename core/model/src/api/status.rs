//! What a balancer is doing, and what it would do.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CertificateWarning, Revision, Timestamp};
use crate::status::Status;
use crate::value::{Fingerprint, Name};

/// What the balancer is doing now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusAnswer {
    /// The version of the program.
    pub version: String,
    /// When this was looked at: rates come from two answers.
    pub at: Timestamp,
    /// The revision in force.
    pub revision: Revision,
    /// Services, pools and servers.
    pub status: Status,
    /// Where the admin API is served over the network, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminStatus>,
    /// What is wrong with certificates, or will be soon. Those that are well are not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<Name, Vec<CertificateWarning>>,
}

/// The admin API over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminStatus {
    /// Where it really listens.
    pub address: SocketAddr,
    /// The fingerprint of its certificate, for clients to pin.
    pub fingerprint: Fingerprint,
    /// Whether the balancer made the certificate, so that no authority vouches for it.
    pub self_signed: bool,
}

/// A request to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The virtual service that the client connects to; may be left out when there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_service: Option<Name>,
    /// The address of the client.
    pub client: IpAddr,
    /// The request as it would be sent: request line, header fields and an empty line, each line
    /// with CR LF at its end.
    #[schemars(length(max = 65536))]
    pub message: String,
}
