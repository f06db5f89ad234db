//! Certificates that the balancer shows, and authorities that it trusts.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AcmeCertificate;
use super::telemetry::{as_optional_text, as_text};
use crate::value::{CertificateName, Fingerprint, PemCertificates};

/// A certificate with its private key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// What the certificate is for, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Where it comes from.
    pub source: CertificateSource,
    /// Whether clients are told with it that its authority has not revoked it (OCSP stapling), if it
    /// names a responder that can be asked over HTTP. The certificate of who issued it must be with it.
    #[serde(default = "yes")]
    pub ocsp_stapling: bool,
}

/// Where a certificate and its private key come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateSource {
    /// An authority issues it by itself, over ACME (RFC 8555).
    Acme(AcmeCertificate),
    /// Files on the balancer.
    Files(CertificateFiles),
    /// The balancer makes it, and makes another one before it ends. No authority vouches for it: right
    /// for a first try, or where clients pin it.
    SelfSigned(SelfSigned),
    /// It was given to the balancer with `lbctl certificate import`.
    Stored(StoredCertificate),
}

/// A certificate in files of the balancer. They are read again when they change, within a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The file with the certificate, and those between it and a root that clients know, as PEM.
    #[serde(serialize_with = "as_text")]
    pub certificate: PathBuf,
    /// The file with its private key, as PEM and not encrypted.
    #[serde(serialize_with = "as_text")]
    pub key: PathBuf,
}

/// A certificate that the balancer signs itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfSigned {
    /// The hosts that it is for.
    #[schemars(length(min = 1, max = 100))]
    pub names: Vec<CertificateName>,
}

/// A certificate that the balancer keeps; its private key is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredCertificate {
    /// Which one it is.
    pub fingerprint: Fingerprint,
}

/// Who vouches for certificates of servers or clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// What the authority is for, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Where its certificates come from.
    pub source: AuthoritySource,
    /// The file on the balancer with the certificates that the authority has revoked (CRL), as PEM or
    /// DER. It is read again when it changes, within a minute.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_text"
    )]
    pub revocation_list: Option<PathBuf>,
}

/// Where the certificates of an authority come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthoritySource {
    /// A file on the balancer, as PEM. It is read again when it changes, within a minute.
    File(#[serde(serialize_with = "as_text")] PathBuf),
    /// They stand here, as PEM.
    Pem(PemCertificates),
}

const fn yes() -> bool {
    true
}
