//! The typed client of the admin API: how everything outside the balancer talks to it.
//!
//! One method for each thing that the API does. A request is repeated only when that is safe: when
//! nothing of it can have arrived, when it only reads, or when the balancer said that it was too busy
//! to begin. Answers are bounded in size and time.

mod address;
mod client;
mod connection;
mod enrol;
mod error;
mod event;
mod request;
mod tls;

pub use address::{Address, InvalidAddress};
pub use client::{Change, Client, Guard, Object};
pub use enrol::{Enrolled, enrol};
pub use error::{ClientError, Refusal};
pub use event::Events;
pub use tls::{ClientCertificate, Distrust, Tls, Trust, TrustError};
