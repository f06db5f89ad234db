//! Certificates with their key in one encrypted file: PFX, PKCS#12, as Windows exports them.

use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Key, Material, Part, Password, Unusable};

/// Reads what such a file holds. One without a password is opened with the empty one.
pub fn read_pfx(part: Part<'_>, password: &Password) -> Result<Material, Unusable> {
    let place = || part.place.to_owned();
    let archive = Pkcs12Archive::from_pkcs12(part.bytes, password.expose());
    let mut archive = archive.map_err(|error| unusable(&error, part))?;
    let count = archive.keys.len();
    let key = match (archive.keys.pop(), count) {
        (Some(bag), 1) => Key::new(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()).into()),
        (Some(_), count) => {
            return Err(Unusable::SeveralKeys {
                place: place(),
                count,
            });
        }
        (None, _) => {
            return Err(Unusable::Holds {
                place: place(),
                what: "private key",
                help: "export it again together with the private key; on Windows the key must have \
                       been marked as exportable",
            });
        }
    };
    let certificates: Vec<_> = archive
        .certs
        .iter()
        .map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()))
        .collect();
    if certificates.is_empty() {
        return Err(Unusable::Holds {
            place: place(),
            what: "certificate",
            help: "export it again together with its certificate",
        });
    }
    Ok(Material {
        certificates,
        key: Some(key),
        place: place(),
        key_place: place(),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything that is not said better is damage"
)]
fn unusable(error: &Error, part: Part<'_>) -> Unusable {
    let place = part.place.to_owned();
    match error {
        Error::Pkcs5Error(reason) if reason.contains("upported") || reason.contains("invalid") => {
            Unusable::Encryption {
                place,
                reason: reason.clone(),
            }
        }
        // What a wrong password makes of the content is padded wrongly; the MAC is looked at first.
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => {
            Unusable::WrongPassword { place }
        }
        Error::UnsupportedEncryptionScheme
        | Error::UnsupportedMacAlgorithm
        | Error::InvalidParameters => Unusable::Encryption {
            place,
            reason: error.to_string(),
        },
        _ if part.bytes.starts_with(b"-----BEGIN") => Unusable::Holds {
            place,
            what: "PFX",
            help: "it is PEM: give it with `--certificate FILE --key FILE`",
        },
        _ => Unusable::Damaged {
            place,
            what: "PFX",
            reason: error.to_string(),
        },
    }
}
