//! What certificates say of themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::value::Fingerprint;

/// What a certificate says of itself. All of it is public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFacts {
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The number that its issuer gave it, in hexadecimal digits.
    pub serial: String,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// The kind of its key, such as `ECDSA P-256` or `RSA 2048`.
    pub key: String,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// How many certificates are shown with it, on the way to a root that clients know.
    pub intermediates: u32,
}

/// Something about a certificate that somebody should know, though it can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateWarning {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}
