//! What the admin API says and hears, as types: the server, the client and the OpenAPI document are
//! made from them. They hold what is true for every caller and nothing of how it is carried.
//!
//! The nouns of the document are not here: they are [`config`](crate::config).

mod access;
mod certificate;
mod change;
mod component;
mod error;
mod event;
mod revision;
mod scope;
mod status;
mod timestamp;
pub mod token;
mod upgrade;

pub use access::{
    AccessCopy, BootstrapRequest, Caller, Enrolment, NewToken, Role, Token, TokenCopy,
    TokenRequest, Tokens, User, UserChange, UserRequest, Users,
};
pub use certificate::{
    CertificateFacts, CertificateImport, CertificateStatus, CertificateWarning, Certificates,
    KeptCertificate, KeyKind, MadeSigningRequest, OcspStatus, SigningRequest,
};
pub use change::{
    ApplyAnswer, ApplyRequest, ConfirmRequest, PlanAnswer, PlanRequest, RollbackRequest, Wanted,
};
pub use component::components;
pub use error::{ApiError, ErrorAnswer, ErrorCode};
pub use event::{Event, EventKind};
pub use revision::{Revision, RevisionAnswer, Revisions, Source};
pub use scope::Scope;
pub use status::{AdminStatus, ExplainRequest, StatusAnswer};
pub use timestamp::Timestamp;
pub use upgrade::{UpgradeAnswer, UpgradeState};
