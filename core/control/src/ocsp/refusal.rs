//! Why a question to a responder brought nothing to show, and what to do.

use lb_model::api::{CertificateWarning, Timestamp};

use super::fetch::FetchError;
use super::request::Subject;
use super::response::Unfit;
use crate::certificate::Unusable;

/// Why there is no answer that could be shown to clients.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// None came.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What came is not to be shown.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It cannot be kept, and would be lost with the process.
    #[error(transparent)]
    Kept(#[from] Unusable),
    /// The program has a fault.
    #[error("the question was lost: {0}")]
    Lost(String),
}

impl Refusal {
    /// Since when the authority has revoked the certificate, if that is what it says.
    pub(super) const fn revoked_at(&self) -> Option<Timestamp> {
        match self {
            Self::Unfit(Unfit::Revoked(at)) => Some(*at),
            Self::Unfit(
                Unfit::Malformed(_)
                | Unfit::NoAnswer(_)
                | Unfit::Other
                | Unfit::Unknown
                | Unfit::Signature(_)
                | Unfit::Time { .. },
            )
            | Self::Fetch(_)
            | Self::Kept(_)
            | Self::Lost(_) => None,
        }
    }

    /// The same for people.
    pub(super) fn told(&self, subject: &Subject) -> CertificateWarning {
        CertificateWarning {
            message: format!("the OCSP responder {}: {self}", subject.responder),
            help: self.help(),
        }
    }

    fn help(&self) -> String {
        match self {
            Self::Fetch(error) => error.help().to_owned(),
            Self::Unfit(Unfit::Revoked(_)) => {
                "get another certificate at once, and give it here: clients that ask the authority refuse \
                 this one; its key may be in the hands of somebody else"
                    .to_owned()
            }
            Self::Unfit(Unfit::Unknown) => {
                "if it was issued a moment ago, wait; if not, ask whoever issued it".to_owned()
            }
            Self::Unfit(Unfit::Time { .. }) => {
                "set the clock of the balancer: timedatectl; if it is right, the responder serves old \
                 answers"
                    .to_owned()
            }
            Self::Unfit(
                Unfit::Malformed(_) | Unfit::NoAnswer(_) | Unfit::Other | Unfit::Signature(_),
            ) => {
                "see what it says: openssl ocsp -issuer ISSUER -cert CERTIFICATE -url URL; tell whoever \
                 runs it, or set `ocsp_stapling = false`"
                    .to_owned()
            }
            Self::Kept(unusable) => unusable.help(),
            Self::Lost(_) => "report it, with what the log says".to_owned(),
        }
    }
}
