//! Authorities: who vouches for clients and servers, and what they have revoked.

use std::sync::Arc;

use lb_model::config::{Authority as Model, AuthoritySource};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use webpki::OwnedCertRevocationList;

use super::Unusable;
use super::file;
use super::pem::{Part, read_certificates, read_revocation_lists};

/// An authority that can be used.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificates; there is at least one.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// What it has revoked.
    pub revocation_lists: Arc<[CertificateRevocationListDer<'static>]>,
}

impl Authority {
    /// Reads what the document names.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn load(model: &Model) -> Result<Self, Unusable> {
        let certificates = match &model.source {
            AuthoritySource::File(path) => {
                let (bytes, place) = file::open_small(path)?;
                certificates(Part {
                    place: &place,
                    bytes: &bytes,
                })?
            }
            AuthoritySource::Pem(pem) => certificates(Part {
                place: "the document",
                bytes: pem.as_str().as_bytes(),
            })?,
        };
        let lists = match &model.revocation_list {
            Some(path) => {
                let (bytes, place) = file::open(path, file::LIST_BYTES_MAX)?;
                revocation_lists(Part {
                    place: &place,
                    bytes: &bytes,
                })?
            }
            None => Vec::new(),
        };
        Ok(Self {
            certificates: certificates.into(),
            revocation_lists: lists.into(),
        })
    }

    /// Whether both say the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let lists = |one: &Self| -> Vec<Vec<u8>> {
            one.revocation_lists
                .iter()
                .map(|list| list.as_ref().to_vec())
                .collect()
        };
        self.certificates == other.certificates && lists(self) == lists(other)
    }
}

/// One that TLS cannot take would be missing without a word when a client shows what it has signed.
fn certificates(part: Part<'_>) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found = read_certificates(part)?;
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(&found) {
        roots
            .add(certificate.clone())
            .map_err(|error| Unusable::Damaged {
                place: part.place.to_owned(),
                what: "certificate",
                reason: format!("number {number} in it: {error}"),
            })?;
    }
    Ok(found)
}

fn revocation_lists(
    part: Part<'_>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Unusable> {
    let found = read_revocation_lists(part)?;
    for (number, list) in (1..).zip(&found) {
        OwnedCertRevocationList::from_der(list).map_err(|error| Unusable::Damaged {
            place: part.place.to_owned(),
            what: "list of revoked certificates",
            // The most common cause: `openssl ca` writes version 1 where it has no `crlnumber`.
            reason: format!(
                "number {number} in it is no list of version 2 (RFC 5280, section 5; with openssl set \
                 `crlnumber`): {error}"
            ),
        })?;
    }
    Ok(found)
}
