//! Whether a certificate can be shown to clients, and what it says of itself.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use lb_model::api::{CertificateFacts, CertificateWarning, Timestamp};
use lb_model::value::Fingerprint;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519};
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::chain::{Chain, has_signed, is_self_issued, issuer_address, responder_address};
use super::{Key, Material, Unusable};
use crate::ocsp::{Answer, Subject};

/// The most names that are told of one certificate.
const NAMES_MAX: usize = 1000;

/// A certificate that can be used, with the key that was judged with it.
#[derive(Debug)]
pub struct Judged {
    /// What those who use it need.
    pub usable: Usable,
    /// Its private key.
    pub key: Key,
}

/// A certificate that can be used, whatever the time.
#[derive(Clone, Debug)]
pub struct Usable {
    /// The certificate with what signs for it, in the order in which clients want them.
    pub certified: Arc<CertifiedKey>,
    /// What it says of itself.
    pub facts: CertificateFacts,
    /// What somebody should know.
    pub warnings: Vec<CertificateWarning>,
    /// Where it comes from, for people.
    pub place: String,
    /// Whether it only serves until an authority has issued another one.
    pub stands_in: bool,
    /// Whom to ask whether it is revoked, if it names somebody and its issuer is with it.
    pub(crate) subject: Option<Subject>,
    /// The certificate of its issuer, where that is not shown: a root that is needed to ask.
    pub(super) issuer: Option<CertificateDer<'static>>,
    /// What the responder has said, which `certified` shows to clients.
    pub(crate) staple: Option<Answer>,
}

/// Judges what was read. The certificate is the one that the key belongs to; the others are put in order
/// behind it. `is_root` knows the names of authorities that clients trust.
///
/// # Errors
/// Why it cannot be used. Whether it is valid at some time is not looked at.
pub fn judge(material: Material, is_root: &dyn Fn(&[u8]) -> bool) -> Result<Judged, Unusable> {
    let Material {
        certificates,
        key,
        place,
        key_place,
    } = material;
    let mut parsed = Vec::with_capacity(certificates.len());
    for der in &certificates {
        parsed.push(parse(der, &place)?);
    }
    // Only the first can be meant where there is no key to tell.
    let first = parsed.first().map_or_else(String::new, name);
    let key = key.ok_or_else(|| Unusable::NoKey {
        place: place.clone(),
        subject: first.clone(),
    })?;
    let signing = any_supported_type(&key.der()).map_err(|_| Unusable::KeyKind {
        place: key_place.clone(),
    })?;
    let leaf = leaf(&parsed, &*signing).ok_or_else(|| Unusable::OtherKey {
        place: place.clone(),
        key: key_place,
        subject: first,
    })?;
    let leaf_der = certificates[leaf].clone();
    let leaf = &parsed[leaf];
    let chain = Chain::of(leaf, &parsed);
    let in_order = chain.order.iter().map(|index| certificates[*index].clone());
    let shown: Vec<_> = std::iter::once(leaf_der).chain(in_order).collect();
    let facts = facts(leaf, &shown);
    let (subject, issuer) = match asked_of(leaf, &parsed) {
        Some((subject, issuer)) => {
            let issuer = &certificates[issuer];
            let kept = (!shown.contains(issuer)).then(|| issuer.clone());
            (Some(subject), kept)
        }
        None => (None, None),
    };
    let warnings = warnings(leaf, &chain, &parsed, &facts, is_root);
    let certified = CertifiedKey::new(shown, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(error) => {
            return Err(Unusable::Rejected {
                place,
                subject: name(leaf),
                reason: error.to_string(),
            });
        }
    }
    let usable = Usable {
        certified: Arc::new(certified),
        facts,
        warnings,
        place,
        stands_in: false,
        subject,
        issuer,
        staple: None,
    };
    Ok(Judged { usable, key })
}

impl Usable {
    /// The certificates that are kept of it: those that are shown, and its issuer's.
    pub(super) fn kept(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.certified.cert.iter().chain(&self.issuer)
    }

    /// Whether it is valid at this time.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Unusable> {
        let (place, subject) = (self.place.clone(), short(&self.facts));
        let CertificateFacts {
            not_before,
            not_after,
            ..
        } = self.facts;
        if now > not_after {
            let at = not_after;
            return Err(Unusable::Expired { place, subject, at });
        }
        if now < not_before {
            let at = not_before;
            return Err(Unusable::NotYet { place, subject, at });
        }
        Ok(())
    }
}

/// The SHA-256 of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint::new(Sha256::digest(der).into())
}

fn parse<'a>(der: &'a CertificateDer<'_>, place: &str) -> Result<X509Certificate<'a>, Unusable> {
    let damaged = |reason: String| Unusable::Damaged {
        place: place.to_owned(),
        what: "certificate",
        reason,
    };
    match parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(damaged("something follows it".to_owned())),
        Err(_) => Err(damaged("it is no whole X.509 certificate".to_owned())),
    }
}

/// Whom to ask whether a certificate is revoked, and which of the others is its issuer's.
fn asked_of(
    leaf: &X509Certificate<'_>,
    parsed: &[X509Certificate<'_>],
) -> Option<(Subject, usize)> {
    let responder = responder_address(leaf)?;
    let mut others = parsed.iter().enumerate();
    let (index, issuer) = others.find(|(_, other)| has_signed(other, leaf))?;
    Some((Subject::new(leaf, issuer, responder), index))
}

/// Whether clients are to refuse it without an OCSP answer: it asks for the TLS feature
/// `status_request` (RFC 7633).
fn must_staple(leaf: &X509Certificate<'_>) -> bool {
    let mut extensions = leaf.extensions().iter();
    extensions.any(|found| {
        found.oid.to_id_string() == TLS_FEATURE && found.value == STATUS_REQUEST.as_slice()
    })
}

const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
/// A list of the number 5 alone; no other feature has a number that is used.
const STATUS_REQUEST: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x05];

/// The certificate that the key belongs to.
fn leaf(parsed: &[X509Certificate<'_>], signing: &dyn SigningKey) -> Option<usize> {
    let public = signing.public_key()?;
    let fits = |certificate: &X509Certificate<'_>| certificate.public_key().raw == public.as_ref();
    parsed.iter().position(fits)
}

fn facts(leaf: &X509Certificate<'_>, shown: &[CertificateDer<'_>]) -> CertificateFacts {
    let intermediates = u32::try_from(shown.len().saturating_sub(1)).unwrap_or(u32::MAX);
    CertificateFacts {
        names: names(leaf),
        subject: leaf.subject().to_string(),
        issuer: leaf.issuer().to_string(),
        serial: leaf.raw_serial_as_string().replace(':', ""),
        not_before: timestamp(leaf.validity().not_before),
        not_after: timestamp(leaf.validity().not_after),
        key: kind(leaf),
        fingerprint: fingerprint(shown.first().map_or(&[], |der| der.as_ref())),
        intermediates,
        must_staple: must_staple(leaf),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let all = names.value.general_names.iter();
    all.filter_map(|name| {
        if let GeneralName::DNSName(name) = name {
            return Some((*name).to_owned());
        }
        let GeneralName::IPAddress(bytes) = name else {
            return None;
        };
        if let Ok(short) = <[u8; 4]>::try_from(*bytes) {
            return Some(Ipv4Addr::from(short).to_string());
        }
        let long = <[u8; 16]>::try_from(*bytes).ok()?;
        Some(Ipv6Addr::from(long).to_string())
    })
    .take(NAMES_MAX)
    .collect()
}

fn kind(leaf: &X509Certificate<'_>) -> String {
    let key = leaf.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref();
            let curve = curve.and_then(|parameters| parameters.as_oid().ok());
            let curve = match curve {
                Some(oid) if oid == OID_NIST_EC_P384 => "P-384",
                Some(oid) if oid == OID_NIST_EC_P521 => "P-521",
                _ => "P-256",
            };
            format!("ECDSA {curve}")
        }
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => "Ed25519".to_owned(),
        _ => key.algorithm.algorithm.to_string(),
    }
}

fn warnings(
    leaf: &X509Certificate<'_>,
    chain: &Chain,
    parsed: &[X509Certificate<'_>],
    facts: &CertificateFacts,
    is_root: &dyn Fn(&[u8]) -> bool,
) -> Vec<CertificateWarning> {
    let mut warnings = Vec::new();
    let last = chain.order.last().map_or(leaf, |index| &parsed[*index]);
    // Behind an intermediate there is nearly always a root; behind a certificate alone nearly never.
    let is_complete = chain.reaches_root
        || !chain.order.is_empty()
        || is_self_issued(leaf)
        || is_root(last.issuer().as_raw());
    if !is_complete {
        let issuer = last.issuer();
        let help = match issuer_address(last) {
            Some(address) => format!(
                "add the certificate of the issuer behind it: curl -s '{address}' | openssl x509 \
                 -inform DER >> FILE (leave out `-inform DER` if that fails)"
            ),
            None => {
                "add the certificate of the issuer behind it in the file; whoever issued it has \
                     it, as `chain` or `bundle`. If clients know this issuer as a root, all is well"
                    .to_owned()
            }
        };
        warnings.push(CertificateWarning {
            message: format!(
                "the chain is not complete: the certificate of `{issuer}` is missing, and most \
                 programs refuse it then"
            ),
            help,
        });
    }
    if facts.names.is_empty() {
        warnings.push(CertificateWarning {
            message: "it has no names (subjectAltName), and no browser takes it".to_owned(),
            help: "get one with the names of the hosts in it".to_owned(),
        });
    }
    if leaf.signature_algorithm.algorithm.to_id_string() == SHA1_WITH_RSA {
        warnings.push(CertificateWarning {
            message: "it is signed with SHA-1, and no browser takes it".to_owned(),
            help: "get one that is signed with SHA-256".to_owned(),
        });
    }
    warnings
}

const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";

/// Whom a certificate names, in one word if possible.
fn name(certificate: &X509Certificate<'_>) -> String {
    let found = names(certificate).into_iter().next();
    let found = found.unwrap_or_else(|| certificate.subject().to_string());
    format!("`{found}`")
}

fn short(facts: &CertificateFacts) -> String {
    let found = facts.names.first().unwrap_or(&facts.subject);
    format!("`{found}`")
}

fn timestamp(time: ASN1Time) -> Timestamp {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    Timestamp::from_unix_millis(seconds.saturating_mul(1000))
}
