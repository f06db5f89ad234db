//! What certificates say of themselves.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::value::{CertificateName, Fingerprint, Name};

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
    /// Whether it says that clients are to refuse it without an answer of its authority (must-staple, RFC
    /// 7633).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_staple: bool,
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

/// Material for a certificate that the balancer is to keep. It is in no log, and no answer has it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateImport {
    /// The certificate, with those between it and a root that clients know: PEM, or the bytes of a PFX
    /// or DER file as base64.
    pub certificate: String,
    /// Its private key, unless that is with it: PEM, or the bytes of a DER file as base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// More certificates between it and a root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// What opens the key, or the PFX file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl fmt::Debug for CertificateImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateImport").finish_non_exhaustive()
    }
}

/// What a request for a certificate is to say. An authority makes a certificate of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SigningRequest {
    /// The hosts that the certificate will be for.
    #[schemars(length(min = 1, max = 100))]
    pub names: Vec<CertificateName>,
    /// The kind of its key.
    #[serde(default)]
    pub key: KeyKind,
    /// The organization that owns the hosts, where the authority wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub organization: Option<String>,
    /// Its country, in two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 2))]
    pub country: Option<String>,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// ECDSA P-256: small and quick.
    #[default]
    Ecdsa,
    /// RSA of 2048 bits, for clients from before about 2012.
    Rsa,
}

/// A request for a certificate. Its key is kept until the certificate is imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MadeSigningRequest {
    /// The request (PKCS#10), as PEM.
    pub pem: String,
}

/// A certificate that the balancer keeps from now on. A document names it by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptCertificate {
    /// What it says of itself.
    pub facts: CertificateFacts,
    /// What somebody should know.
    pub warnings: Vec<CertificateWarning>,
}

/// The certificates that the document in force names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// All of them, by name.
    pub certificates: BTreeMap<Name, CertificateStatus>,
}

/// How a certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateStatus {
    /// What the one that is in use says of itself; absent when there is none that could be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<CertificateFacts>,
    /// What somebody should know.
    pub warnings: Vec<CertificateWarning>,
    /// What is wrong with what the document names now. What was there before is used on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<CertificateWarning>,
    /// Whether it is revoked, where somebody can be asked and clients are told (OCSP stapling).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<OcspStatus>,
    /// The virtual services that show it to clients.
    pub virtual_services: Vec<Name>,
    /// The pools whose servers see it.
    pub pools: Vec<Name>,
}

/// What is known of whether a certificate is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OcspStatus {
    /// Who is asked.
    pub responder: String,
    /// Until when clients are told that it is not revoked; absent while they are told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_until: Option<Timestamp>,
    /// Since when it is revoked, as its authority says. It is served on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When the responder is asked again, at the earliest; absent when it is about to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_question_at: Option<Timestamp>,
    /// How often in a row there was no answer that clients could be told.
    pub failures: u32,
}
