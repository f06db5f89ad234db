//! What TLS is made of: certificates with their keys, and authorities. Whoever owns the proxy loads
//! it; the data plane reads no files.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lb_model::value::Name;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;

use crate::challenge::Challenges;

/// Certificates and authorities by the names that a document gives them. One that is missing could not
/// be loaded: what needs it refuses, and everything else serves.
#[derive(Clone)]
pub struct Material {
    /// What is shown to clients and servers. Another object under the same name is another
    /// certificate.
    pub certificates: BTreeMap<Name, Arc<CertifiedKey>>,
    /// Who vouches for servers and clients. Other objects under the same name are another authority.
    pub authorities: BTreeMap<Name, AuthorityMaterial>,
    /// Those that the system trusts.
    pub system: Arc<RootCertStore>,
    /// Answers for authorities that ask before they issue certificates.
    pub challenges: Arc<Challenges>,
}

/// What is known of an authority.
#[derive(Clone, Debug)]
pub struct AuthorityMaterial {
    /// Its certificates.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// What it has revoked.
    pub revocation_lists: Arc<[CertificateRevocationListDer<'static>]>,
}

impl Default for Material {
    fn default() -> Self {
        Self {
            certificates: BTreeMap::new(),
            authorities: BTreeMap::new(),
            system: Arc::new(RootCertStore::empty()),
            challenges: Arc::default(),
        }
    }
}

impl Material {
    /// Whether a certificate is the same object in both.
    pub(crate) fn same_certificate(&self, other: &Self, name: &Name) -> bool {
        let pointer = |material: &Self| material.certificates.get(name).map(Arc::as_ptr);
        pointer(self) == pointer(other)
    }

    /// Whether an authority is the same object in both.
    pub(crate) fn same_authority(&self, other: &Self, name: &Name) -> bool {
        let pointers = |material: &Self| {
            let authority = material.authorities.get(name)?;
            let AuthorityMaterial {
                certificates,
                revocation_lists,
            } = authority;
            Some((Arc::as_ptr(certificates), Arc::as_ptr(revocation_lists)))
        };
        pointers(self) == pointers(other)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names alone: there are keys behind them.
        f.debug_struct("Material")
            .field("certificates", &self.certificates.keys())
            .field("authorities", &self.authorities.keys())
            .finish_non_exhaustive()
    }
}
