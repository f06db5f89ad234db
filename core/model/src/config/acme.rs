//! Accounts with authorities that issue certificates by themselves (ACME, RFC 8555).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telemetry::as_text;
use crate::value::{CertificateName, EmailAddress, HttpsUrl, Name};

/// An account with an authority that issues certificates by itself (ACME), such as Let's Encrypt. The
/// balancer makes the account when it needs it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeAccount {
    /// What the account is for, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Where the authority tells what it can do: its directory.
    #[serde(default = "lets_encrypt")]
    pub directory: HttpsUrl,
    /// Whether you agree to the terms of service of the authority. It gives nothing to anybody who does
    /// not.
    #[serde(default)]
    pub terms_of_service_agreed: bool,
    /// Whom the authority may write to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub contacts: Vec<EmailAddress>,
    /// Who vouches for the authority's own web server: an authority of the document. When absent, those
    /// that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Name>,
    /// What ties the account to one that you have with the authority in another way (EAB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_account: Option<ExternalAccount>,
}

/// An account with an authority outside of ACME (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The identifier of the key that the authority has given you.
    #[schemars(length(min = 1, max = 1024))]
    pub key_id: String,
    /// The file on the balancer with that key, as base64 as the authority has given it.
    #[serde(serialize_with = "as_text")]
    pub key_file: PathBuf,
}

/// A certificate that an authority issues by itself (ACME), and that the balancer renews when a third of
/// its life is left. Until the first is there, one that the balancer signs itself stands in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeCertificate {
    /// The account that it is ordered with.
    pub account: Name,
    /// The hosts that it is for.
    #[schemars(length(min = 1, max = 100))]
    pub names: Vec<CertificateName>,
    /// How the authority sees that these hosts are yours.
    #[serde(default)]
    pub challenge: AcmeChallenge,
}

/// How an authority sees that a host is yours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AcmeChallenge {
    /// It asks the host on port 80 (http-01). Every virtual service that speaks HTTP answers it; one has to
    /// be reached there.
    #[default]
    Http,
    /// It connects to the host on port 443 (tls-alpn-01). Every virtual service that speaks HTTP over TLS
    /// answers it; one has to be reached there.
    TlsAlpn,
    /// It looks for a TXT record of the host (dns-01), which a program of yours makes. Wildcards need this.
    Dns(DnsHook),
}

/// A program that makes and removes TXT records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsHook {
    /// The program on the balancer. It is run with `present` or `cleanup`, the name of the record such as
    /// `_acme-challenge.shop.example`, and its value; it has 5 minutes, and ends with 0 when the name
    /// servers of the domain have the record.
    #[serde(serialize_with = "as_text")]
    pub hook: PathBuf,
}

fn lets_encrypt() -> HttpsUrl {
    "https://acme-v02.api.letsencrypt.org/directory"
        .parse()
        .expect("a URL")
}
