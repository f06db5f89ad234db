//! How Terraform starts a plugin (go-plugin): a cookie that tells that it was Terraform, one line on the
//! standard output that tells where the plugin listens, and mutual TLS with certificates that both
//! sides made for this one run.

use std::env;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use subtle::ConstantTimeEq;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

/// What Terraform sets so that plugins are not started by hand.
const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// The one protocol that is spoken.
const PROTOCOL: &str = "6";

/// The most bytes that the path of a Unix socket may have.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Why the plugin cannot begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "this is a plugin that Terraform starts. To use it, name the provider `lbctl` in a Terraform \
         configuration and run `terraform init`; `terraform-provider-lbctl --help` tells more"
    )]
    ByHand,
    #[error(
        "this Terraform speaks versions {0} of the plugin protocol, and this provider version 6: use \
         Terraform 1.0 or later"
    )]
    Protocol(String),
    #[error("the certificate that Terraform handed over cannot be read")]
    ClientCertificate(#[source] rustls::pki_types::pem::Error),
    #[error("no certificate can be made for this run")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS cannot be used")]
    Tls(#[from] Error),
    #[error("no socket can be made in `{}`", .0.display())]
    Socket(PathBuf, #[source] std::io::Error),
    #[error("the path of the socket, `{}`, is longer than a path of a socket may be: set TMPDIR to a \
             shorter one", .0.display())]
    LongPath(PathBuf),
    #[error("the line for Terraform cannot be written")]
    Output(#[source] std::io::Error),
}

/// A socket that Terraform connects to. Its folder goes away with it.
pub(crate) struct Plugin {
    pub(crate) listener: UnixListener,
    /// What speaks TLS on its connections; nothing when Terraform asked for none.
    pub(crate) acceptor: Option<TlsAcceptor>,
    path: PathBuf,
    certificate: Option<String>,
    _folder: TempDir,
}

impl Plugin {
    /// Listens as Terraform asks in the environment.
    pub(crate) fn start() -> Result<Self, StartError> {
        if env::var(COOKIE.0).as_deref() != Ok(COOKIE.1) {
            return Err(StartError::ByHand);
        }
        let versions = env::var("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_else(|_| PROTOCOL.into());
        if !versions
            .split(',')
            .any(|version| version.trim() == PROTOCOL)
        {
            return Err(StartError::Protocol(versions));
        }
        let client = env::var("PLUGIN_CLIENT_CERT").ok();
        Self::listen(client.filter(|text| !text.is_empty()).as_deref())
    }

    /// Listens for a Terraform that is told where, without TLS: the folder of the socket is closed to
    /// other users.
    pub(crate) fn listen(client: Option<&str>) -> Result<Self, StartError> {
        let parent = env::var_os("PLUGIN_UNIX_SOCKET_DIR").filter(|parent| !parent.is_empty());
        let parent = parent.map_or_else(env::temp_dir, PathBuf::from);
        let failed = |source| StartError::Socket(parent.clone(), source);
        // Nobody else may speak to the plugin, also where TLS is off.
        let folder = tempfile::Builder::new()
            .prefix("lbctl-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent);
        let folder = folder.map_err(failed)?;
        let path = folder.path().join("plugin");
        if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(StartError::LongPath(path));
        }
        let (acceptor, certificate) = match client {
            Some(client) => {
                let (acceptor, certificate) = mutual_tls(client)?;
                (Some(acceptor), Some(certificate))
            }
            None => (None, None),
        };
        Ok(Self {
            listener: UnixListener::bind(&path).map_err(failed)?,
            acceptor,
            path,
            certificate,
            _folder: folder,
        })
    }

    /// Tells Terraform where to connect: the one line that it reads of the standard output.
    pub(crate) fn announce(&self) -> Result<(), StartError> {
        let certificate = self.certificate.as_deref().unwrap_or_default();
        let line = format!(
            "1|{PROTOCOL}|unix|{}|grpc|{certificate}\n",
            self.path.display()
        );
        let mut output = std::io::stdout().lock();
        let written = output.write_all(line.as_bytes());
        written
            .and_then(|()| output.flush())
            .map_err(StartError::Output)
    }

    /// What a Terraform that shall not start a plugin itself needs in `TF_REATTACH_PROVIDERS`.
    pub(crate) fn reattach(&self, source: &str) -> String {
        serde_json::json!({ source: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": std::process::id(),
            "Test": true,
            "Addr": { "Network": "unix", "String": self.path.display().to_string() },
        }})
        .to_string()
    }
}

/// TLS for one client alone, and our certificate as that client expects it.
fn mutual_tls(client: &str) -> Result<(TlsAcceptor, String), StartError> {
    let client = CertificateDer::from_pem_slice(client.as_bytes());
    let client = client.map_err(StartError::ClientCertificate)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    // go-plugin takes the certificate as the one authority that it trusts.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned {
        client,
        provider: Arc::clone(&provider),
    });
    let key = PrivateKeyDer::try_from(key.serialize_der());
    let key = key.map_err(|reason| Error::General(reason.to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let shown = STANDARD_NO_PAD.encode(certificate.der());
    Ok((TlsAcceptor::from(Arc::new(config)), shown))
}

/// Believes the one certificate that Terraform handed over, and nobody else. It is an authority by its
/// own words, which webpki refuses as that of a client, and nothing has to be derived from it.
#[derive(Debug)]
struct Pinned {
    client: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if bool::from(end_entity.as_ref().ct_eq(self.client.as_ref())) {
            Ok(ClientCertVerified::assertion())
        } else {
            let other = CertificateError::ApplicationVerificationFailure;
            Err(Error::InvalidCertificate(other))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
