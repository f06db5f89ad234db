//! Private keys. What holds one is overwritten when it is dropped, and never printed.

use std::fmt;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error, pbes2};
use rustls::pki_types::PrivateKeyDer;
use zeroize::{Zeroize, Zeroizing};

use super::Unusable;

/// The most work that a password may cost: files from outside say how much they want.
const ITERATIONS_MAX: u32 = 10_000_000;
const SCRYPT_BYTES_MAX: u64 = 256 << 20;

/// A private key.
pub struct Key(PrivateKeyDer<'static>);

/// A password. It is overwritten when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Key {
    /// A key in any form that is not encrypted.
    pub(super) const fn new(key: PrivateKeyDer<'static>) -> Self {
        Self(key)
    }

    /// A key whose form its bytes tell.
    pub(super) fn from_der(bytes: &[u8]) -> Option<Self> {
        let key = PrivateKeyDer::try_from(bytes).ok()?;
        Some(Self(key.clone_key()))
    }

    /// An encrypted PKCS#8 key.
    pub(super) fn decrypt(
        der: &[u8],
        password: Option<&Password>,
        place: &str,
    ) -> Result<Self, Unusable> {
        let place = || place.to_owned();
        let encryption = |reason: String| Unusable::Encryption {
            place: place(),
            reason,
        };
        let sealed = EncryptedPrivateKeyInfoRef::try_from(der)
            .map_err(|error| encryption(error.to_string()))?;
        let password = password.ok_or_else(|| Unusable::NoPassword { place: place() })?;
        let EncryptionScheme::Pbes2(parameters) = &sealed.encryption_algorithm else {
            return Err(encryption(sealed.encryption_algorithm.oid().to_string()));
        };
        if !is_affordable(parameters) {
            return Err(encryption("it asks for too much work".to_owned()));
        }
        let opened = sealed.decrypt(password.0.as_bytes());
        // A wrong password shows as bytes that are no key.
        let opened = opened.map_err(|error| {
            if let pkcs8::Error::EncryptedPrivateKey(Pkcs5Error::UnsupportedAlgorithm { oid }) =
                error
            {
                encryption(oid.to_string())
            } else {
                Unusable::WrongPassword { place: place() }
            }
        })?;
        Self::from_der(opened.as_bytes()).ok_or_else(|| Unusable::WrongPassword { place: place() })
    }

    /// A copy, for whoever signs with it.
    pub(super) fn der(&self) -> PrivateKeyDer<'static> {
        self.0.clone_key()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Password {
    /// This password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn is_affordable(parameters: &pbes2::Parameters) -> bool {
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= ITERATIONS_MAX,
        Kdf::Scrypt(scrypt) => {
            let bytes = scrypt
                .cost_parameter
                .saturating_mul(128 * u64::from(scrypt.block_size));
            bytes <= SCRYPT_BYTES_MAX && scrypt.parallelization <= 16
        }
        _ => false,
    }
}
