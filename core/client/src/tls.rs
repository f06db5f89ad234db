//! TLS to a balancer: whom a client takes it for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lb_model::value::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

/// What shows that a balancer is the one that is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// An authority that the system knows vouches for its name.
    #[default]
    System,
    /// An authority in this file of PEM vouches for its name.
    Authority(PathBuf),
    /// Its certificate has this fingerprint, whatever it says.
    Fingerprint(Fingerprint),
}

/// What shows a balancer who we are, where it takes certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file with the certificate, and those between it and an authority that the balancer knows, as
    /// PEM.
    pub certificate: PathBuf,
    /// The file with its private key, as PEM and not encrypted.
    pub key: PathBuf,
}

/// Why nobody can be trusted, or we cannot show who we are.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file with authorities.
    #[error("the authorities in `{}` cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A file of our own certificate.
    #[error("the certificate that says who we are cannot be used: `{}`", path.display())]
    Own {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The system has none.
    #[error("this system knows no authorities for certificates")]
    NoneOnSystem,
    /// What was made of them cannot be used.
    #[error("TLS cannot be used")]
    Tls(#[from] Error),
}

impl TrustError {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::File { .. } => {
                "name a file of PEM, with lines that begin with `-----BEGIN CERTIFICATE-----`"
                    .to_owned()
            }
            Self::Own { path, .. } => format!(
                "name files of PEM, the certificate and its key, which must not be encrypted: ls -l {}",
                path.display()
            ),
            Self::NoneOnSystem | Self::Tls(_) => {
                "pin the balancer with `--fingerprint sha256:…`, which `lbctl status` shows on its \
                 machine, or name an authority with `--ca-file FILE`"
                    .to_owned()
            }
        }
    }
}

/// What connects with TLS.
pub(crate) fn connector(
    trust: &Trust,
    own: Option<&ClientCertificate>,
) -> Result<TlsConnector, TrustError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Fingerprint(fingerprint) => Arc::new(Pinned {
            fingerprint: *fingerprint,
            provider,
        }),
        Trust::System | Trust::Authority(_) => {
            let roots = Arc::new(roots(trust)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| Error::General(error.to_string()))?
        }
    };
    let builder = builder.with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(own) => {
            let (chain, key) = own.read()?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// TLS to something else than a balancer, with the same trust: a management controller has a certificate that nobody
/// vouches for, too.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS to those that are trusted like this.
    ///
    /// # Errors
    /// Nobody can be trusted.
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        connector(trust, None).map(Self)
    }

    /// Begins TLS on a connection to this host.
    ///
    /// # Errors
    /// The other side breaks off, or is not trusted: [`Distrust::of`].
    pub async fn begin(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        begin(&self.0, host, stream).await
    }
}

impl ClientCertificate {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TrustError> {
        let failed = |path: &PathBuf, source| TrustError::Own {
            path: path.clone(),
            source,
        };
        let chain = authorities(&self.certificate);
        let chain = chain.map_err(|source| failed(&self.certificate, source))?;
        let key = std::fs::read(&self.key).and_then(|bytes| {
            let bytes = Zeroizing::new(bytes);
            PrivateKeyDer::from_pem_slice(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        let key = key.map_err(|source| failed(&self.key, source))?;
        Ok((chain, key))
    }
}

/// What connects with TLS to whoever answers, and tells which certificate they have. Nothing that is secret may
/// be sent over it.
pub(crate) fn onlooker() -> Result<(TlsConnector, Arc<OnceLock<Fingerprint>>), TrustError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let seen = Arc::new(OnceLock::new());
    let verifier = Onlooker {
        seen: Arc::clone(&seen),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsConnector::from(Arc::new(config)), seen))
}

fn roots(trust: &Trust) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Authority(path) => {
            for authority in authorities(path).map_err(|source| TrustError::File {
                path: path.clone(),
                source,
            })? {
                roots.add(authority)?;
            }
        }
        Trust::System | Trust::Fingerprint(_) => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(TrustError::NoneOnSystem);
            }
        }
    }
    Ok(roots)
}

fn authorities(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds no certificate",
        ));
    }
    Ok(found)
}

/// Begins TLS.
pub(crate) async fn begin(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
    connector.connect(name, stream).await
}

fn pinned(found: Fingerprint, pinned: Fingerprint) -> Result<ServerCertVerified, Error> {
    if found == pinned {
        return Ok(ServerCertVerified::assertion());
    }
    let other = OtherError(Arc::new(Distrust::OtherCertificate { found, pinned }));
    Err(Error::InvalidCertificate(CertificateError::Other(other)))
}

/// Takes one certificate and no other. Nothing else in it is looked at: the pin says more than any
/// name or date.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::new(Sha256::digest(end_entity).into());
        pinned(found, self.fingerprint)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Takes any certificate, and remembers the first one; whoever has another one afterwards is not taken.
#[derive(Debug)]
struct Onlooker {
    seen: Arc<OnceLock<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::new(Sha256::digest(end_entity).into());
        let first = *self.seen.get_or_init(|| found);
        pinned(found, first)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Why a balancer is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Its certificate is not the one that was pinned.
    #[error("its certificate has the fingerprint {found}, and {pinned} was expected")]
    OtherCertificate {
        /// What it has.
        found: Fingerprint,
        /// What was expected.
        pinned: Fingerprint,
    },
    /// It does not have the token that makes its first one.
    #[error(
        "it does not show that it has the same token: either it is another balancer, or somebody answers \
         in its place"
    )]
    OtherToken,
    /// No authority that is known vouches for it.
    #[error("no authority that is known here vouches for its certificate")]
    UnknownAuthority,
    /// Its certificate is for another name.
    #[error("its certificate is not for this name")]
    OtherName,
    /// Its certificate is too old or too new.
    #[error("its certificate is not valid at this time")]
    NotNow,
    /// Something else is wrong with it.
    #[error("its certificate cannot be used: {0}")]
    Other(String),
}

impl Distrust {
    /// What an error of a connection says of trust, if that is what it is about.
    pub fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        let Error::InvalidCertificate(error) = error else {
            return None;
        };
        let text = error.to_string();
        Some(if let CertificateError::Other(OtherError(other)) = error {
            let other = other.downcast_ref::<Self>().cloned();
            other.unwrap_or(Self::Other(text))
        } else if *error == CertificateError::UnknownIssuer {
            Self::UnknownAuthority
        } else if text.starts_with("certificate not valid for name") {
            Self::OtherName
        } else if text.starts_with("certificate expired")
            || text.starts_with("certificate not valid yet")
        {
            Self::NotNow
        } else {
            Self::Other(text)
        })
    }

    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::OtherCertificate { .. } => {
                "look on the machine of the balancer what `lbctl status` shows there: when it is the \
                 one found, the certificate was replaced, and its fingerprint is to be pinned; when \
                 not, somebody else answers in its place"
            }
            Self::OtherToken => {
                "the token was not sent; see whether the address is the right one, and the token that of this \
                 balancer; `lbctl status` on its machine shows the fingerprint of its certificate"
            }
            Self::UnknownAuthority | Self::OtherName | Self::NotNow | Self::Other(_) => {
                "pin the certificate with `--fingerprint sha256:…`, which `lbctl status` shows on the \
                 machine of the balancer, or name the authority that vouches for it with \
                 `--ca-file FILE`"
            }
        }
        .to_owned()
    }
}
