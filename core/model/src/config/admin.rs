//! Who administers the balancer over the network, besides whoever is on the machine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telemetry::{as_optional_text, as_text};
use crate::value::ListenAddress;

/// The admin API over the network. On the Unix socket `admin.sock` it is always there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where the admin API is served over TLS, to bearers of a token; when absent, nowhere but on the
    /// Unix socket. Keep it on a management network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-effect" = "rebind"))]
    pub address: Option<ListenAddress>,
    /// The certificate of this address. When absent, the balancer makes one that it signs itself,
    /// and keeps it: `lbctl status` shows the fingerprint that clients pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<AdminCertificate>,
    /// The file with the authorities, as PEM, that vouch for certificates of clients; when absent, a token
    /// alone says who asks. A client that shows a certificate whose common name (CN) is the name of a user
    /// may do what that user may, and needs no token. The file is read again when it changes, within a
    /// minute.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub client_authorities: Option<PathBuf>,
    /// The most connections to this address at a time; further ones wait. Those of one client are
    /// a quarter of it at most.
    #[schemars(range(min = 4, max = 10_000))]
    pub connections_max: u32,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: None,
            certificate: None,
            client_authorities: None,
            connections_max: 128,
        }
    }
}

/// A certificate in files. They are read again when they change, within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminCertificate {
    /// The file with the certificate, and those between it and a root that clients know, as PEM.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The file with its private key, as PEM and not encrypted.
    #[serde(serialize_with = "as_text")]
    pub key: PathBuf,
}
