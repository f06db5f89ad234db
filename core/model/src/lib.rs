//! The nouns of lbctl: the configuration document and what can be said about it without a running
//! balancer. Pure data and pure functions: this crate opens no socket and no file, and asks no clock.
//!
//! A document is parsed to a [`Config`], which may be contradictory; [`validate`] makes it a
//! [`ValidConfig`] or reports every [`Problem`] at once.

pub mod config;
pub mod validate;
pub mod value;

pub use config::Config;
pub use validate::{ValidConfig, validate};
