//! The arguments of what can be done with certificates besides changing the document.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};
use lb_model::value::{CertificateName, Name};

use super::MannerArgs;

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum CertificateCommand {
    Import(CertificateImportArgs),
    Request(CertificateRequestArgs),
    /// Show how the certificates are: for which hosts, until when, where used, and what is wrong.
    Status,
}

/// Give the balancer a certificate with its private key, under a name of the document.
///
/// The balancer keeps it, with the key encrypted. What was under the name before makes way, with no
/// connection closed; `lbctl rollback` goes back to it. The plan is shown before it is carried out.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl certificate import shop --certificate shop.pfx --password-file password
  lbctl certificate import shop --certificate fullchain.pem --key privkey.pem
  lbctl virtual-service set shop --tls-certificates shop")]
pub(crate) struct CertificateImportArgs {
    /// The name in the document; a new one is made, an old one gets this certificate.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// The file with the certificate, and those between it and a root: PEM, DER, or a PFX file with
    /// everything.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: PathBuf,
    /// The file with the private key, unless that is with the certificate.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// A file with more certificates between it and a root.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) chain: Option<PathBuf>,
    /// The file whose first line opens the key or the PFX file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) manner: MannerArgs,
}

/// Make a request for a certificate (CSR), to be taken to an authority.
///
/// The balancer makes the private key and keeps it, encrypted; the request goes to the standard output. When
/// the authority has made a certificate of it, `lbctl certificate import NAME --certificate FILE` finds the
/// key by itself.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl certificate request --names shop.example --names www.shop.example >shop.csr
  lbctl certificate import shop --certificate shop.crt")]
pub(crate) struct CertificateRequestArgs {
    /// A host that the certificate will be for; once for each.
    #[arg(long, value_name = "HOST", required = true)]
    pub(crate) names: Vec<CertificateName>,
    /// The kind of its key.
    #[arg(long, value_name = "KIND", default_value = "ecdsa")]
    pub(crate) key: KeyChoice,
    /// The organization that owns the hosts, where the authority wants to know.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// Its country, in two letters.
    #[arg(long, value_name = "COUNTRY")]
    pub(crate) country: Option<String>,
}

/// The kind of a key.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KeyChoice {
    /// ECDSA P-256: small and quick.
    Ecdsa,
    /// RSA of 2048 bits, for clients from before about 2012.
    Rsa,
}
