//! Fingerprints of certificates.

use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, text_value};

/// The SHA-256 of a certificate, which nobody can make another certificate for:
/// `sha256:` and 64 hexadecimal digits. The form that `openssl x509 -fingerprint -sha256` prints is
/// read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint with these bytes.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || {
            InvalidValue::new(
                format!("`{text}` is not the fingerprint of a certificate"),
                "`sha256:` and 64 hexadecimal digits, as `lbctl status` shows on the balancer",
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        // As openssl writes it, and older versions of it.
        let digits = ["sha256:", "sha256 fingerprint="]
            .iter()
            .find_map(|prefix| lower.strip_prefix(prefix))
            .unwrap_or(&lower);
        let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).ok_or_else(invalid)?;
                *byte = *byte << 4 | u8::try_from(value).map_err(|_| invalid())?;
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

text_value!(
    Fingerprint,
    format: "lb-fingerprint",
    example: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "The SHA-256 of a certificate."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_in_every_form_that_people_copy() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let found: Fingerprint = text.parse().unwrap();
        assert_eq!(found.to_string(), text);
        let digits = text.strip_prefix("sha256:").unwrap().to_uppercase();
        let pairs: Vec<_> = digits.as_bytes().chunks(2).collect();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|pair| String::from_utf8_lossy(pair))
            .collect();
        let openssl = format!("sha256 Fingerprint={}", pairs.join(":"));
        for other in [&digits, &openssl] {
            assert_eq!(other.parse(), Ok(found), "{other}");
        }
        for wrong in ["", "sha256:", "sha256:ba78", &text.replace('b', "g"), "ü"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
