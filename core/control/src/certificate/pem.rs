//! Certificates and keys as text (PEM), or as the bytes inside (DER).

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer,
    PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use super::{Key, Password, Unusable};

/// The most certificates in one file: bundles of a whole public-key infrastructure have fewer.
const CERTIFICATES_MAX: usize = 500;

/// What every file of DER begins with: a sequence with a length of its own length.
const DER_SEQUENCE: u8 = 0x30;

/// What an object identifier begins with.
const DER_IDENTIFIER: u8 = 0x06;

const NOT_PEM: &str = "it must be PEM, with lines that begin with `-----BEGIN`, or DER";
const PKCS7: &str = "it is PKCS#7; take the certificates out of it: openssl pkcs7 -print_certs -in FILE \
    -out NEW, with -inform DER if it is no text";
const REQUEST: &str = "it is a request for a certificate; give what the authority made of it";

/// A piece of what somebody gives.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// What people call it: the path of a file in backquotes, or `the certificate`.
    pub place: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// All that somebody gives for one certificate.
pub struct Parts<'a> {
    /// The certificate, with or without those between it and a root.
    pub certificate: Part<'a>,
    /// More of those between.
    pub chain: Option<Part<'a>>,
    /// The private key.
    pub key: Option<Part<'a>>,
    /// What opens the key.
    pub password: Option<&'a Password>,
}

/// Certificates, in no order, and the key that goes with one of them. Nothing is judged yet.
#[derive(Debug)]
pub struct Material {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: Option<Key>,
    pub(super) place: String,
    pub(super) key_place: String,
}

impl Parts<'_> {
    /// Reads all parts. A file that holds both certificate and key may be named for both.
    pub fn read(&self) -> Result<Material, Unusable> {
        let mut certificates = read_certificates(self.certificate)?;
        if let Some(chain) = self.chain {
            certificates.extend(read_certificates(chain)?);
        }
        let key = self.key.map(|part| read_key(part, self.password));
        Ok(Material {
            certificates,
            key: key.transpose()?,
            place: self.certificate.place.to_owned(),
            key_place: self.key.unwrap_or(self.certificate).place.to_owned(),
        })
    }
}

/// The certificates in a file; there is at least one.
pub(super) fn read_certificates(part: Part<'_>) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let holds = |help| Unusable::Holds {
        place: part.place.to_owned(),
        what: "certificate",
        help,
    };
    if part.bytes.first() == Some(&DER_SEQUENCE) {
        // Whether it is a certificate is seen when it is judged.
        return if is_pkcs7(part.bytes) {
            Err(holds(PKCS7))
        } else {
            Ok(vec![CertificateDer::from(part.bytes.to_vec())])
        };
    }
    let sections = sections(part, "certificate")?;
    let tags: Vec<_> = sections.iter().map(pem::Pem::tag).collect();
    let mut found = Vec::new();
    for section in &sections {
        if matches!(
            section.tag(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        ) {
            found.push(CertificateDer::from(section.contents().to_vec()));
        }
    }
    match found.len() {
        0 if tags.contains(&"PKCS7") || tags.contains(&"CMS") => Err(holds(PKCS7)),
        0 if tags.iter().any(|tag| tag.ends_with("CERTIFICATE REQUEST")) => Err(holds(REQUEST)),
        0 => Err(holds(NOT_PEM)),
        1..=CERTIFICATES_MAX => Ok(found),
        count => Err(Unusable::Damaged {
            place: part.place.to_owned(),
            what: "certificate",
            reason: format!("it holds {count} certificates, the most is {CERTIFICATES_MAX}"),
        }),
    }
}

/// The lists of revoked certificates in a file; there is at least one.
pub(super) fn read_revocation_lists(
    part: Part<'_>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Unusable> {
    const WHAT: &str = "list of revoked certificates";
    if part.bytes.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(
            part.bytes.to_vec(),
        )]);
    }
    let found: Vec<_> = sections(part, WHAT)?
        .into_iter()
        .filter(|section| section.tag() == "X509 CRL")
        .map(|section| CertificateRevocationListDer::from(section.into_contents()))
        .collect();
    if found.is_empty() {
        return Err(Unusable::Holds {
            place: part.place.to_owned(),
            what: WHAT,
            help: NOT_PEM,
        });
    }
    Ok(found)
}

/// The private key in a file.
pub(super) fn read_key(part: Part<'_>, password: Option<&Password>) -> Result<Key, Unusable> {
    let holds = || Unusable::Holds {
        place: part.place.to_owned(),
        what: "private key",
        help: NOT_PEM,
    };
    if part.bytes.first() == Some(&DER_SEQUENCE) {
        return match Key::from_der(part.bytes) {
            Some(key) => Ok(key),
            None => Key::decrypt(part.bytes, password, part.place).map_err(|error| {
                // What is no key at all looks like one of a strange encryption.
                if matches!(error, Unusable::Encryption { .. }) {
                    holds()
                } else {
                    error
                }
            }),
        };
    }
    let mut keys = Vec::new();
    for section in sections(part, "private key")? {
        let tag = section.tag().to_owned();
        // The old encryption of PEM derives its key with one round of MD5.
        let is_old = section.headers().get("DEK-Info").is_some();
        let der = Zeroizing::new(section.into_contents());
        keys.push(match tag.as_str() {
            "PRIVATE KEY" => Key::new(PrivatePkcs8KeyDer::from(der.to_vec()).into()),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" if is_old => {
                return Err(Unusable::Encryption {
                    place: part.place.to_owned(),
                    reason: "the old encryption of PEM".to_owned(),
                });
            }
            "RSA PRIVATE KEY" => Key::new(PrivatePkcs1KeyDer::from(der.to_vec()).into()),
            "EC PRIVATE KEY" => Key::new(PrivateSec1KeyDer::from(der.to_vec()).into()),
            "ENCRYPTED PRIVATE KEY" => Key::decrypt(&der, password, part.place)?,
            _ => continue,
        });
    }
    let count = keys.len();
    match (keys.pop(), count) {
        (Some(key), 1) => Ok(key),
        (Some(_), count) => Err(Unusable::SeveralKeys {
            place: part.place.to_owned(),
            count,
        }),
        (None, _) => Err(holds()),
    }
}

/// PKCS#7 begins with an identifier, a certificate with another sequence.
fn is_pkcs7(der: &[u8]) -> bool {
    let length_bytes = match der.get(1) {
        Some(long) if long & 0x80 != 0 => usize::from(long & 0x7f),
        _ => 0,
    };
    der.get(2 + length_bytes) == Some(&DER_IDENTIFIER)
}

fn sections(part: Part<'_>, what: &'static str) -> Result<Vec<pem::Pem>, Unusable> {
    pem::parse_many(part.bytes).map_err(|error| Unusable::Damaged {
        place: part.place.to_owned(),
        what,
        reason: error.to_string(),
    })
}
