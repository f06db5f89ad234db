//! The way from a certificate to a root that clients know.

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS, OID_PKIX_ACCESS_DESCRIPTOR_OCSP, Oid,
};

/// The most certificates between one and its root. Real ones are two or three.
const LENGTH_MAX: usize = 10;

/// The way from a certificate up, as far as it is there.
pub(super) struct Chain {
    /// Which of the others are on it, from the certificate up, without the root: clients have that or
    /// do not trust it.
    pub(super) order: Vec<usize>,
    /// Whether its end is signed by itself.
    pub(super) reaches_root: bool,
}

impl Chain {
    /// Looks for the way among other certificates, in whatever order they are.
    pub(super) fn of(leaf: &X509Certificate<'_>, others: &[X509Certificate<'_>]) -> Self {
        let mut order: Vec<usize> = Vec::new();
        let mut last = leaf;
        while order.len() < LENGTH_MAX && !is_self_issued(last) {
            let next = others
                .iter()
                .enumerate()
                .filter(|(index, _)| !order.contains(index))
                .find(|(_, other)| has_signed(other, last));
            let Some((index, next)) = next else {
                return Self {
                    order,
                    reaches_root: false,
                };
            };
            if is_self_issued(next) {
                return Self {
                    order,
                    reaches_root: true,
                };
            }
            order.push(index);
            last = next;
        }
        Self {
            reaches_root: is_self_issued(last),
            order,
        }
    }
}

/// Whether this is a root, or a certificate that nobody else vouches for.
pub(super) fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

/// Where the authority says that its own certificate is.
pub(super) fn issuer_address(certificate: &X509Certificate<'_>) -> Option<String> {
    // It stands between quotes in a command.
    access(certificate, &OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS).find(|uri| !uri.contains('\''))
}

/// Where the authority says whether it has revoked the certificate.
pub(super) fn responder_address(certificate: &X509Certificate<'_>) -> Option<String> {
    access(certificate, &OID_PKIX_ACCESS_DESCRIPTOR_OCSP).find(|uri| uri.starts_with("http://"))
}

/// Where the authority can be asked for this (RFC 5280 section 4.2.2.1), as far as it is printable.
fn access<'a>(
    certificate: &'a X509Certificate<'_>,
    method: &'a Oid<'_>,
) -> impl Iterator<Item = String> {
    let extensions = certificate.extensions().iter();
    let found = extensions.filter_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else {
            return None;
        };
        Some(&access.accessdescs)
    });
    let found = found.flatten();
    found.filter_map(move |found| {
        let GeneralName::URI(uri) = &found.access_location else {
            return None;
        };
        let is_harmless = uri.chars().all(|c| c.is_ascii_graphic());
        (found.access_method == *method && is_harmless).then(|| (*uri).to_owned())
    })
}

/// Authorities renew their certificates under the same name: the signature tells which one it is. What
/// cannot be checked here is believed by its name; clients check it anyway.
pub(super) fn has_signed(
    authority: &X509Certificate<'_>,
    certificate: &X509Certificate<'_>,
) -> bool {
    authority.subject().as_raw() == certificate.issuer().as_raw()
        && !matches!(
            certificate.verify_signature(Some(authority.public_key())),
            Err(X509Error::SignatureVerificationError)
        )
}
