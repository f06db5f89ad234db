//! Requests for certificates that people take to an authority: the key stays here, and is found again when
//! the certificate comes.

use lb_model::api::{KeyKind, MadeSigningRequest, SigningRequest};
use rcgen::string::PrintableString;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use super::{Judged, Keeper, Key, Material, Unusable};

/// What the key of a request is kept for.
const PURPOSE: &[u8] = b"certificate request";
/// What its file begins with.
const PREFIX: &str = "request-";
/// The most keys that wait for their certificates.
const WAITING_MAX: usize = 1000;

impl Keeper {
    /// Makes a key, keeps it, and the request for a certificate for it.
    ///
    /// # Errors
    /// The names do not fit in a certificate, or the key cannot be kept.
    pub fn request(&self, request: &SigningRequest) -> Result<MadeSigningRequest, Unusable> {
        let SigningRequest {
            names,
            key,
            organization,
            country,
        } = request;
        let hosts: Vec<_> = names.iter().map(ToString::to_string).collect();
        let failed = |error: rcgen::Error| Unusable::NotMade {
            names: hosts.join(", "),
            reason: error.to_string(),
        };
        if let Some(reason) = fault(request) {
            return Err(Unusable::NotMade {
                names: hosts.join(", "),
                reason: reason.to_owned(),
            });
        }
        let mut params = CertificateParams::new(hosts.clone()).map_err(failed)?;
        let mut subject = DistinguishedName::new();
        if let Some(country) = country {
            // Of this form alone (RFC 5280 appendix A).
            let country = country.to_ascii_uppercase();
            let country = PrintableString::try_from(country.as_str()).map_err(failed)?;
            subject.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        if let Some(organization) = organization {
            subject.push(DnType::OrganizationName, organization.clone());
        }
        // Some authorities look for the first host there still.
        subject.push(
            DnType::CommonName,
            hosts.first().cloned().unwrap_or_default(),
        );
        params.distinguished_name = subject;
        let waiting = self.vault().secrets(PREFIX);
        if waiting >= WAITING_MAX {
            return Err(Unusable::TooManyRequests(WAITING_MAX));
        }
        let key = match key {
            KeyKind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let key = key.map_err(failed)?;
        let made = params.serialize_request(&key).map_err(failed)?;
        let pem = made.pem().map_err(failed)?;
        let secret = Zeroizing::new(key.serialize_der());
        let name = file_name(&key.subject_public_key_info());
        self.vault().keep_secret(&name, PURPOSE, &secret)?;
        Ok(MadeSigningRequest { pem })
    }

    /// The key that a request was made with for one of these certificates.
    pub(super) fn requested_key(&self, material: &mut Material) -> Result<(), Unusable> {
        for certificate in &material.certificates {
            let Some(name) = of_certificate(certificate) else {
                continue;
            };
            if let Some(secret) = self.vault().secret(&name, PURPOSE)? {
                let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(secret.to_vec()));
                material.key = Some(Key::new(der));
                "the key of its request".clone_into(&mut material.key_place);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Forgets the key of a request whose certificate is kept with it.
    pub(super) fn request_is_done(&self, judged: &Judged) {
        let leaf = judged.usable.certified.cert.first();
        // What stays costs a file, and is told.
        if let Some(name) = leaf.and_then(of_certificate)
            && self.vault().has_secret(&name)
            && let Err(error) = self.vault().forget_secret(&name)
        {
            tracing::warn!(%error, "the key of a request that is done is still kept");
        }
    }
}

/// What no certificate can say.
fn fault(request: &SigningRequest) -> Option<&'static str> {
    const NAMES_MAX: usize = 100;
    const ORGANIZATION_MAX: usize = 64;
    let organization = request
        .organization
        .as_deref()
        .map(|text| text.chars().count());
    let country = request.country.as_deref().map(str::as_bytes);
    if request.names.is_empty() || request.names.len() > NAMES_MAX {
        Some("there must be 1 to 100 names")
    } else if organization.is_some_and(|count| count == 0 || count > ORGANIZATION_MAX) {
        Some("the organization must have 1 to 64 characters")
    } else if country.is_some_and(|c| c.len() != 2 || !c.iter().all(u8::is_ascii_alphabetic)) {
        Some("the country must be two letters, such as DE")
    } else {
        None
    }
}

fn of_certificate(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(file_name(parsed.public_key().raw))
}

/// Where the key to this public key is kept.
fn file_name(public: &[u8]) -> String {
    use std::fmt::Write;
    let mut name = PREFIX.to_owned();
    for byte in Sha256::digest(public) {
        write!(name, "{byte:02x}").expect("a String takes every write");
    }
    name
}
