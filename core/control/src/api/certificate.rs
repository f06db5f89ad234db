//! The certificate of the API over the network: from files that an operator keeps, or one that the
//! balancer makes for itself.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use lb_model::config::AdminCertificate;
use lb_model::value::{Fingerprint, Name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::read_file;
use crate::disk::{Machine, replace};

/// What the balancer makes for itself, in the state directory.
const OWN_FILE: &str = "admin-certificate.pem";
const OWN_KEY: &str = "admin-key.pem";

/// What shows who this balancer is.
pub(super) struct Identity {
    pub(super) tls: Arc<ServerConfig>,
    pub(super) fingerprint: Fingerprint,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Who vouches for certificates of clients, if they may show any.
    pub(super) client_authorities: Option<PathBuf>,
    /// The balancer made it.
    pub(super) is_own: bool,
}

/// What tells that files were changed.
pub(super) type Stamp = [Option<(SystemTime, u64)>; 3];

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("the file `{}` of the admin API cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{}` holds no {what}", path.display())]
    Holds {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// Certificate and key do not belong together, or are of a kind that nobody can use.
    #[error("the certificate in `{}` cannot be used with its key", path.display())]
    Unusable {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// None could be made.
    #[error("no certificate could be made for the admin API")]
    Make(#[source] rcgen::Error),
}

impl CertificateError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::File { path, .. } => {
                format!("see who may read and write it: ls -l {}", path.display())
            }
            Self::Holds { .. } => {
                "it must be PEM, with lines that begin with `-----BEGIN`; a key must not be encrypted"
                    .to_owned()
            }
            Self::Unusable { path, .. } => format!(
                "see whether it is the key of this certificate: openssl x509 -noout -pubkey -in {}",
                path.display()
            ),
            Self::Make(_) => "give one with `admin.certificate` in the document".to_owned(),
        }
    }
}

impl Files {
    /// Those that the document names, or those of a certificate of our own, which is made when it
    /// is not there.
    pub(super) fn of(
        certificate: Option<&AdminCertificate>,
        client_authorities: Option<&Path>,
        state_dir: &Path,
        address: IpAddr,
    ) -> Result<Self, CertificateError> {
        let client_authorities = client_authorities.map(Path::to_owned);
        if let Some(AdminCertificate { file, key }) = certificate {
            return Ok(Self {
                certificate: file.clone(),
                key: key.clone(),
                client_authorities,
                is_own: false,
            });
        }
        let own = Self {
            certificate: state_dir.join(OWN_FILE),
            key: state_dir.join(OWN_KEY),
            client_authorities,
            is_own: true,
        };
        if !own.certificate.exists() || !own.key.exists() {
            own.make(address)?;
        }
        Ok(own)
    }

    /// Makes a certificate that no authority vouches for. It has no end, as clients pin it; the names
    /// in it are for those that know it as an authority.
    fn make(&self, address: IpAddr) -> Result<(), CertificateError> {
        let host = crate::backup::host();
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        names.push(host.clone());
        if !address.is_unspecified() && !address.is_loopback() {
            names.push(address.to_string());
        }
        let mut certificate =
            rcgen::CertificateParams::new(names).map_err(CertificateError::Make)?;
        let mut subject = rcgen::DistinguishedName::new();
        subject.push(rcgen::DnType::CommonName, format!("lbctl on {host}"));
        certificate.distinguished_name = subject;
        let key = rcgen::KeyPair::generate().map_err(CertificateError::Make)?;
        let made = certificate
            .self_signed(&key)
            .map_err(CertificateError::Make)?;
        // The key first: a certificate without its key would be of no use to anybody.
        for (path, text) in [
            (&self.key, key.serialize_pem()),
            (&self.certificate, made.pem()),
        ] {
            replace(&Machine, path, text.as_bytes()).map_err(|source| CertificateError::File {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Reads both files.
    pub(super) fn load(&self) -> Result<Identity, CertificateError> {
        let chain = read(&self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
        let chain = chain.unwrap_or_default();
        let leaf = chain.first().ok_or_else(|| CertificateError::Holds {
            path: self.certificate.clone(),
            what: "certificate",
        })?;
        let fingerprint = Fingerprint::new(Sha256::digest(leaf).into());
        let key = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| CertificateError::Holds {
            path: self.key.clone(),
            what: "private key",
        })?;
        let unusable = |source| CertificateError::Unusable {
            path: self.certificate.clone(),
            source,
        };
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(unusable)?
            .with_client_cert_verifier(self.verifier()?)
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            tls: Arc::new(tls),
            fingerprint,
        })
    }

    /// Whom clients with a certificate are taken for. Those without one are asked for a token.
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
        let Some(path) = &self.client_authorities else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let none = || CertificateError::Holds {
            path: path.clone(),
            what: "authorities",
        };
        let bytes = read(path)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.map_err(|_| none())?);
        if added == 0 {
            return Err(none());
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|_| none())
    }

    /// What tells later whether a file was changed.
    pub(super) fn stamp(&self) -> Stamp {
        let files = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_authorities.as_ref(),
        ];
        files.map(|path| {
            let found = fs::metadata(path?).ok()?;
            Some((found.modified().ok()?, found.len()))
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The user that a certificate of a client names: its common name (CN), when there is one alone that is a
/// name.
pub(super) fn user_of(certificate: &CertificateDer<'_>) -> Option<Name> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.parse().ok()?;
    names.next().is_none().then_some(name)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    read_file(path).map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn own(folder: &Path) -> Files {
        Files::of(None, None, folder, "10.0.0.5".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_of_our_own_is_made_once_and_its_key_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = own(folder.path()).load().unwrap().fingerprint;
        let again = own(folder.path());
        assert_eq!(again.load().unwrap().fingerprint, first);
        let mode = fs::metadata(&again.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_file_and_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let (ours, theirs) = (own(folder.path()), own(other.path()));
        let mixed = Files {
            key: theirs.key,
            ..ours.clone()
        };
        let error = mixed.load().err().unwrap();
        assert!(
            matches!(error, CertificateError::Unusable { .. }),
            "{error}"
        );
        let swapped = Files {
            certificate: ours.key.clone(),
            ..ours.clone()
        };
        let error = swapped.load().err().unwrap();
        assert!(
            error.to_string().contains("holds no certificate"),
            "{error}"
        );
        fs::remove_file(&ours.certificate).unwrap();
        let error = ours.load().err().unwrap();
        assert!(error.help().contains("ls -l"), "{}", error.help());
    }
}
