//! The question whether a certificate is revoked (RFC 6960 section 4.1).

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::certificate::X509Certificate;

use super::der::{INTEGER, OCTET_STRING, SEQUENCE, value};

/// The algorithm SHA-1, without parameters: what all responders know. It only finds a certificate.
const SHA1: [u8; 11] = [
    0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00,
];

/// A certificate, as far as one must know it to ask whether it is revoked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Where to ask.
    pub(crate) responder: String,
    /// The hashes of the issuer's name and key.
    pub(super) issuer: [Vec<u8>; 2],
    /// The number, as it stands in the certificate.
    pub(super) serial: Vec<u8>,
    /// The name of who issued it, as DER.
    pub(super) issuer_name: Vec<u8>,
    /// The key of who issued it, as DER with its algorithm.
    pub(super) issuer_key: Vec<u8>,
}

impl Subject {
    /// A certificate that names a responder, with that of who issued it.
    pub(crate) fn new(
        certificate: &X509Certificate<'_>,
        issuer: &X509Certificate<'_>,
        responder: String,
    ) -> Self {
        let hash = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
        let name = certificate.issuer().as_raw();
        let key = &issuer.public_key().subject_public_key.data;
        Self {
            responder,
            issuer: [hash(name), hash(key)],
            serial: certificate.raw_serial().to_vec(),
            issuer_name: name.to_vec(),
            issuer_key: issuer.public_key().raw.to_vec(),
        }
    }

    /// The question, as DER.
    pub(super) fn request(&self) -> Vec<u8> {
        let [name, key] = &self.issuer;
        let name = value(OCTET_STRING, &[name]);
        let key = value(OCTET_STRING, &[key]);
        let serial = value(INTEGER, &[&self.serial]);
        let id = value(SEQUENCE, &[&SHA1, &name, &key, &serial]);
        let list = value(SEQUENCE, &[&value(SEQUENCE, &[&id])]);
        value(SEQUENCE, &[&value(SEQUENCE, &[&list])])
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("responder", &self.responder)
            .finish_non_exhaustive()
    }
}
