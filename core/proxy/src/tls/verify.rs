//! Whether a server is who it should be.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use lb_model::config::ServerTls;
use lb_model::value::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::material::Material;

/// What is looked at of the certificate of a server.
#[derive(Debug)]
struct Verifier {
    /// Who must vouch for it.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// What it must be, if anything is said.
    pins: Box<[Fingerprint]>,
    provider: Arc<CryptoProvider>,
}

/// A server shows a certificate that is none of those it may show.
#[derive(Debug, thiserror::Error)]
#[error(
    "its certificate, with the SHA-256 {certificate}, is none of `pins`, nor is its public key"
)]
pub(super) struct NotPinned {
    certificate: Fingerprint,
}

/// What the document says about servers of a pool, as something that checks it.
pub(super) fn verifier(
    model: &ServerTls,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let is_unchecked = model.insecure || model.authorities.is_empty() && !model.pins.is_empty();
    let authorities = if is_unchecked {
        None
    } else {
        Some(authorities(model, material, provider)?)
    };
    let pins = if model.insecure {
        Box::default()
    } else {
        model.pins.clone().into()
    };
    Ok(Arc::new(Verifier {
        authorities,
        pins,
        provider: Arc::clone(provider),
    }))
}

fn authorities(
    model: &ServerTls,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let mut lists = Vec::new();
    for name in &model.authorities {
        let authority = material.authorities.get(name);
        let authority =
            authority.ok_or_else(|| format!("the authority `{name}` could not be loaded"))?;
        let (_added, _unusable) =
            roots.add_parsable_certificates(authority.certificates.iter().cloned());
        lists.extend(authority.revocation_lists.iter().cloned());
    }
    let roots = if model.authorities.is_empty() {
        Arc::clone(&material.system)
    } else {
        Arc::new(roots)
    };
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .with_crls(lists)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| format!("servers cannot be checked with these authorities: {error}"))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.pins.is_empty() {
            pinned(&self.pins, end_entity)?;
        }
        match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether a certificate, or its public key, is one of these.
fn pinned(pins: &[Fingerprint], certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let of = |bytes: &[u8]| {
        let digest = digest(&SHA256, bytes);
        let digest = <[u8; 32]>::try_from(digest.as_ref());
        Fingerprint::new(digest.unwrap_or_default())
    };
    let whole = of(certificate);
    if pins.contains(&whole) {
        return Ok(());
    }
    let parsed = webpki::EndEntityCert::try_from(certificate);
    let parsed = parsed.map_err(|_| CertificateError::BadEncoding)?;
    if pins.contains(&of(&parsed.subject_public_key_info())) {
        return Ok(());
    }
    let error = NotPinned { certificate: whole };
    Err(CertificateError::Other(OtherError(Arc::new(error))).into())
}
