//! The control plane: numbered revisions of the document, who may make them, and what was done.
//!
//! A [`Controller`] is the only way to change a running balancer. It takes a [`Proposal`], checks it
//! against the revision in force, stores it durably and has the [`Engine`] serve it, or refuses it
//! and changes nothing. It serves no traffic, and stopping it stops none.

mod access;
mod acme;
pub mod api;
mod audit;
mod background;
mod backup;
mod caller;
pub mod certificate;
mod clock;
mod controller;
mod digest;
mod disk;
mod engine;
mod etag;
mod event;
mod ocsp;
mod pace;
mod proposal;
mod record;
mod store;

pub use access::{Access, AccessError, NotGood, Secret, Token, TokenRequest};
pub use acme::{Challenges, Renewer};
pub use audit::{Audit, AuditEntry, AuditError, Verified};
pub use caller::{Caller, ScopeError};
pub use clock::{Clock, now};
pub use controller::{
    CONFIRM_MAX, Controller, Current, Options, StartError, Starting, file_digest, has_history,
};
pub use digest::{Digest, DigestError};
pub use engine::{Engine, EngineError, ServerHealth};
pub use etag::{Etag, EtagError};
pub use event::Subscription;
pub use lb_model::api::Scope;
pub use ocsp::Stapler;
pub use proposal::{Applied, Change, Expected, Planned, Proposal, Refused};
pub use record::RevisionRecord;
pub use store::{Damage, Retention, StoreError};
