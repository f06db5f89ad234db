//! Certificates that the balancer keeps: each in a file of its own, in the open, with its private key
//! sealed (AES-256-GCM).
//!
//! An imported certificate is found by its fingerprint and never changes, so that a document of old
//! finds what it meant. One that the balancer makes for itself is found by the name that the document
//! gives it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use lb_model::api::Timestamp;
use lb_model::value::{Fingerprint, Name};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::PrivateKeyDer;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use super::judge::fingerprint;
use super::pem::{Part, Parts, read_certificates};
use super::{Judged, Key, Material, Unusable, Usable, judge};
use crate::disk::{Disk, Machine, replace};

mod staple;

/// The directory, in the state directory.
const DIRECTORY: &str = "certificates";
/// The file of the key that opens all others: 64 hexadecimal digits.
const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The most that are kept: as many as one virtual service may show, and as many again.
const KEPT_MAX: usize = 20_000;

/// What a sealed key is called in its file.
const SEALED: &str = "LBCTL SEALED PRIVATE KEY";
/// What a key is sealed for, besides its certificate.
const PURPOSE: &[u8] = b"lbctl certificate 1";

/// What other secrets are sealed for, besides what each is for.
const SECRET: &[u8] = b"lbctl secret 1 ";

/// How long a certificate of our own is valid, from its beginning: browsers take no longer ones.
const LIFETIME: Duration = Duration::from_hours(397 * 24);
/// Clocks of clients may be late.
const BEGINS_BEFORE: Duration = Duration::from_hours(1);

/// The certificates that the balancer keeps.
#[derive(Clone, Debug)]
pub struct Vault {
    directory: PathBuf,
    /// Held by who writes. Two that find no key would each make one, and what was sealed with the
    /// first could not be opened; two that write one file would take it away from each other.
    writing: Arc<Mutex<()>>,
}

impl Vault {
    /// What is kept in this state directory. Nothing is read or made yet.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            directory: state_dir.join(DIRECTORY),
            writing: Arc::default(),
        }
    }

    /// Keeps a certificate, durably. What is kept already may get other certificates on its way to a
    /// root.
    pub fn keep(&self, judged: &Judged) -> Result<Fingerprint, Unusable> {
        let fingerprint = judged.usable.facts.fingerprint;
        let kept = self.get(&fingerprint, &|_| true);
        if !kept.is_ok_and(|kept| kept.kept().eq(judged.usable.kept())) {
            let there = Machine.list(&self.directory).map_or(0, |names| names.len());
            if there >= KEPT_MAX {
                return Err(Unusable::TooMany(KEPT_MAX));
            }
            self.write(&self.imported(&fingerprint), judged)?;
        }
        Ok(fingerprint)
    }

    /// The certificate with this fingerprint.
    pub fn get(
        &self,
        fingerprint: &Fingerprint,
        is_root: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Usable, Unusable> {
        match self.read(&self.imported(fingerprint), is_root) {
            Ok(Some(judged)) => Ok(judged.usable),
            Ok(None) => Err(Unusable::NotKept(*fingerprint)),
            Err(error) => Err(error),
        }
    }

    /// The certificate of our own under this name. A new one is made when there is none for these
    /// hosts, or little of its life is left; an old one that cannot be read is written over.
    pub(super) fn self_signed(
        &self,
        name: &Name,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<Usable, Unusable> {
        let path = self.directory.join(format!("self-signed-{name}.pem"));
        match self.read(&path, &|_| true) {
            Ok(Some(Judged { usable, .. }))
                if usable.facts.names == hosts && !is_due(&usable, now) =>
            {
                return Ok(usable);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%name, %error, "a certificate that the balancer made is made anew");
            }
        }
        let made = make(hosts, now)?;
        self.write(&path, &made)?;
        Ok(made.usable)
    }

    /// The certificate that an authority has issued under this name, if it has.
    pub(crate) fn issued(&self, name: &Name) -> Result<Option<Usable>, Unusable> {
        let read = self.read(&self.issued_path(name), &|_| true)?;
        Ok(read.map(|judged| judged.usable))
    }

    /// Keeps what an authority has issued under this name, durably, in the place of the one before.
    pub(crate) fn keep_issued(&self, name: &Name, judged: &Judged) -> Result<(), Unusable> {
        self.write(&self.issued_path(name), judged)
    }

    /// The file of what an authority has issued under this name.
    pub(super) fn issued_path(&self, name: &Name) -> PathBuf {
        self.directory.join(format!("acme-{name}.pem"))
    }

    /// A secret of the balancer that is kept under this name, if it can be opened; `of` is what it is
    /// for, and the same as when it was kept.
    pub(crate) fn secret(
        &self,
        name: &str,
        of: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Unusable> {
        let path = self.secret_path(name);
        let sealed = match Machine.read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(Unusable::File {
                    place: place(&path),
                    reason: error.to_string(),
                });
            }
        };
        let key = self.key()?;
        let opened = sealed
            .split_first_chunk::<NONCE_LEN>()
            .and_then(|(nonce, sealed)| {
                let mut bytes = Zeroizing::new(sealed.to_vec());
                let associated = Aad::from([SECRET, of].concat());
                let length = key
                    .open_in_place(Nonce::from(nonce), associated, &mut bytes)
                    .ok()?
                    .len();
                bytes.truncate(length);
                Some(bytes)
            });
        Ok(opened)
    }

    /// Keeps a secret of the balancer, durably, in the place of the one before.
    pub(crate) fn keep_secret(&self, name: &str, of: &[u8], secret: &[u8]) -> Result<(), Unusable> {
        let path = self.secret_path(name);
        let failed = |error: io::Error| Unusable::File {
            place: place(&path),
            reason: error.to_string(),
        };
        let _writing = self.writing();
        Machine.make_dir(&self.directory).map_err(failed)?;
        let mut sealed = secret.to_vec();
        let nonce = self
            .key_or_new()?
            .seal_in_place_append_tag(Aad::from([SECRET, of].concat()), &mut sealed)
            .map_err(|_| failed(io::Error::other("it cannot be sealed")))?;
        let bytes = [&nonce.as_ref()[..], &sealed].concat();
        replace(&Machine, &path, &bytes).map_err(failed)
    }

    /// Whether a secret is kept under this name.
    pub(crate) fn has_secret(&self, name: &str) -> bool {
        self.secret_path(name).exists()
    }

    /// How many secrets there are whose names begin like this.
    pub(crate) fn secrets(&self, prefix: &str) -> usize {
        let names = Machine.list(&self.directory).unwrap_or_default();
        let begins = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(prefix);
        names.iter().filter(|name| begins(name)).count()
    }

    /// Keeps a secret no longer.
    pub(crate) fn forget_secret(&self, name: &str) -> Result<(), Unusable> {
        let path = self.secret_path(name);
        Machine.remove(&path).map_err(|error| Unusable::File {
            place: place(&path),
            reason: error.to_string(),
        })
    }

    fn secret_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.sealed"))
    }

    /// The file of an imported certificate.
    pub(super) fn imported(&self, fingerprint: &Fingerprint) -> PathBuf {
        let name = fingerprint.to_string().replace(':', "-");
        self.directory.join(format!("{name}.pem"))
    }

    fn write(&self, path: &Path, judged: &Judged) -> Result<(), Unusable> {
        let failed = |error: io::Error| Unusable::File {
            place: place(path),
            reason: error.to_string(),
        };
        let _writing = self.writing();
        Machine.make_dir(&self.directory).map_err(failed)?;
        let key = self.key_or_new()?;
        let secret = judged.key.der();
        let mut sealed = secret.secret_der().to_vec();
        let associated = associated(&judged.usable.facts.fingerprint);
        let nonce = key
            .seal_in_place_append_tag(Aad::from(&associated), &mut sealed)
            .map_err(|_| failed(io::Error::other("it cannot be sealed")))?;
        let mut sections: Vec<_> = judged
            .usable
            .kept()
            .map(|der| pem::Pem::new("CERTIFICATE", der.as_ref()))
            .collect();
        let sealed = [&nonce.as_ref()[..], &sealed].concat();
        sections.push(pem::Pem::new(SEALED, sealed));
        let text = pem::encode_many(&sections);
        replace(&Machine, path, text.as_bytes()).map_err(failed)
    }

    fn read(
        &self,
        path: &Path,
        is_root: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Judged>, Unusable> {
        let place = place(path);
        let bytes = match Machine.read(path, FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let reason = error.to_string();
                return Err(Unusable::File { place, reason });
            }
        };
        let certificates = read_certificates(Part {
            place: &place,
            bytes: &bytes,
        })?;
        let sections = pem::parse_many(&bytes).unwrap_or_default();
        let sealed = sections.iter().find(|section| section.tag() == SEALED);
        let opened = sealed.zip(certificates.first()).map(|(sealed, leaf)| {
            let of = fingerprint(leaf);
            open(&self.key()?, sealed.contents(), &of).ok_or_else(|| Unusable::Sealed {
                place: place.clone(),
                key: self.key_place(),
            })
        });
        let material = Material {
            certificates,
            key: opened.transpose()?,
            key_place: place.clone(),
            place,
        };
        judge(material, is_root).map(Some)
    }

    /// The turn to write. Whoever panicked in theirs has left whole files.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_path(&self) -> PathBuf {
        self.directory.join(KEY_FILE)
    }

    fn key_place(&self) -> String {
        place(&self.key_path())
    }

    fn key(&self) -> Result<RandomizedNonceKey, Unusable> {
        let unusable = |reason: &str| Unusable::VaultKey {
            place: self.key_place(),
            reason: reason.to_owned(),
        };
        let read = Machine.read(&self.key_path(), 1024);
        let text = Zeroizing::new(read.map_err(|error| unusable(&error.to_string()))?);
        let bytes = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| unhex(text.trim()))
            .ok_or_else(|| unusable("it is not 64 hexadecimal digits"))?;
        RandomizedNonceKey::new(&AES_256_GCM, &*bytes).map_err(|_| unusable("it is no key"))
    }

    /// The key, which is made when nothing has been sealed yet. It is the caller's turn to write.
    fn key_or_new(&self) -> Result<RandomizedNonceKey, Unusable> {
        let path = self.key_path();
        // Where something is sealed, another key would hide that the right one is lost.
        let names = Machine.list(&self.directory).unwrap_or_default();
        if path.exists() || names.iter().any(|name| is_sealed(&name.to_string_lossy())) {
            return self.key();
        }
        let unusable = |reason: String| Unusable::VaultKey {
            place: place(&path),
            reason,
        };
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|error| unusable(error.to_string()))?;
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in *bytes {
            write!(text, "{byte:02x}").expect("a String takes every write");
        }
        text.push('\n');
        let written = replace(&Machine, &path, text.as_bytes());
        written.map_err(|error| unusable(error.to_string()))?;
        self.key()
    }
}

/// Whether a file with this name holds something that is sealed.
fn is_sealed(name: &str) -> bool {
    let name = Path::new(name).extension();
    name.is_some_and(|extension| extension == "pem" || extension == "sealed")
}

/// Whether a certificate should make way for a new one: a third of its life is left.
pub(crate) fn is_due(usable: &Usable, now: Timestamp) -> bool {
    let (begin, end) = (&usable.facts.not_before, &usable.facts.not_after);
    let third = end.unix_millis().saturating_sub(begin.unix_millis()) / 3;
    now.unix_millis() >= end.unix_millis().saturating_sub(third)
}

fn make(hosts: &[String], now: Timestamp) -> Result<Judged, Unusable> {
    let failed = |reason: String| Unusable::NotMade {
        names: hosts.join(", "),
        reason,
    };
    let seconds = now.unix_millis() / 1000;
    let time = |seconds: u64| {
        let time = ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX));
        time.map(|time| time.to_datetime())
            .map_err(|error| failed(error.to_string()))
    };
    let mut params = CertificateParams::new(hosts).map_err(|error| failed(error.to_string()))?;
    let begin = seconds.saturating_sub(BEGINS_BEFORE.as_secs());
    params.not_before = time(begin)?;
    params.not_after = time(begin.saturating_add(LIFETIME.as_secs()))?;
    let first = hosts.first().cloned().unwrap_or_default();
    params.distinguished_name.push(DnType::CommonName, first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let made = params
        .self_signed(&key)
        .map_err(|error| failed(error.to_string()))?;
    let certificate = made.pem();
    let text = Zeroizing::new(key.serialize_pem());
    let part = |bytes| Part {
        place: "what the balancer made",
        bytes,
    };
    let parts = Parts {
        certificate: part(certificate.as_bytes()),
        chain: None,
        key: Some(part(text.as_bytes())),
        password: None,
    };
    judge(parts.read()?, &|_| true)
}

fn open(key: &RandomizedNonceKey, sealed: &[u8], of: &Fingerprint) -> Option<Key> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let associated = associated(of);
    let nonce = Nonce::from(nonce);
    let opened = key
        .open_in_place(nonce, Aad::from(&associated), &mut bytes)
        .ok()?;
    PrivateKeyDer::try_from(&*opened).ok()?;
    Key::from_der(opened)
}

/// What must be the same to open a key as it was to seal it.
fn associated(fingerprint: &Fingerprint) -> Vec<u8> {
    [PURPOSE, fingerprint.to_string().as_bytes()].concat()
}

fn unhex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

fn place(path: &Path) -> String {
    format!("`{}`", path.display())
}

#[cfg(test)]
mod tests;
