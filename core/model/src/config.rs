//! The document that an operator owns: everything a balancer does, keyed by name.
//!
//! These types are the only description of the document. Their doc comments are the operator's help
//! text; the JSON Schema, the command line, the API and the reference are derived from them.
//! A `Config` may be contradictory: only `validate` makes a `ValidConfig` of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::Name;

pub mod acme;
pub mod admin;
pub mod balance;
pub mod certificate;
pub mod health_check;
pub mod limits;
pub mod persistence;
pub mod pool;
pub mod rule;
pub mod telemetry;
pub mod tls;
pub mod virtual_service;

pub use acme::{AcmeAccount, AcmeCertificate, AcmeChallenge, DnsHook, ExternalAccount};
pub use admin::{Admin, AdminCertificate};
pub use balance::Balance;
pub use certificate::{
    Authority, AuthoritySource, Certificate, CertificateFiles, CertificateSource, SelfSigned,
    StoredCertificate,
};
pub use health_check::{GrpcProbe, HealthCheck, HttpProbe, Probe, TcpProbe};
pub use limits::Limits;
pub use persistence::{
    CookiePersistence, PassiveCookiePersistence, Persistence, SameSite, SourcePersistence,
};
pub use pool::{
    Ejection, Http2WithServers, Pool, PrivateConnections, Queue, Reuse, Server, ServerState,
};
pub use rule::{Action, FixedResponse, HeaderEdits, HeaderMatch, Match, PathMatch, Redirect, Rule};
pub use telemetry::{AccessLog, AccessLogFormat, AccessLogOutput, Telemetry};
pub use tls::{ClientCertificates, ClientTls, Hsts, ServerTls, TlsHeaders, TlsPolicy, UnknownHost};
pub use virtual_service::{
    ClientTimeouts, ForwardedHeaders, ForwardedMode, HeadLimits, Protocol, Unavailable,
    VirtualService,
};

/// The configuration of a balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What clients connect to, by name.
    #[schemars(extend("x-effect-added" = "rebind", "x-effect-removed" = "rebind", "x-needs" = ["pools", "certificates", "authorities"]))]
    pub virtual_services: BTreeMap<Name, VirtualService>,
    /// The groups of servers that traffic goes to, by name.
    #[schemars(extend("x-effect-removed" = "drain", "x-needs" = ["certificates", "authorities"]))]
    pub pools: BTreeMap<Name, Pool>,
    /// The certificates that the balancer shows to clients and servers, by name.
    #[schemars(extend("x-needs" = ["acme_accounts"]))]
    pub certificates: BTreeMap<Name, Certificate>,
    /// Who vouches for the certificates of servers and clients, by name.
    pub authorities: BTreeMap<Name, Authority>,
    /// Accounts with authorities that issue certificates by themselves, by name.
    #[schemars(extend("x-needs" = ["authorities"]))]
    pub acme_accounts: BTreeMap<Name, AcmeAccount>,
    /// What the whole balancer may use.
    pub limits: Limits,
    /// Metrics and access log.
    pub telemetry: Telemetry,
    /// The admin API over the network.
    pub admin: Admin,
}
