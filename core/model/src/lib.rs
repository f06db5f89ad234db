//! The nouns of lbctl: the configuration document and what can be said about it without a running
//! balancer. Pure data and pure functions: this crate opens no socket and no file, and asks no clock.
//!
//! A document is parsed to a [`Config`], which may be contradictory; [`validate`] makes it a
//! [`ValidConfig`] or reports every [`Problem`] at once. [`read`] does both.

pub mod config;
pub mod parse;
pub mod problem;
pub mod validate;
pub mod value;

pub use config::Config;
pub use parse::{Format, parse};
pub use problem::Problem;
pub use validate::{ValidConfig, validate};

/// Reads and checks a document.
///
/// # Errors
/// Everything that is wrong with it, warnings included, with their places in the text.
pub fn read(text: &str, format: Format) -> Result<ValidConfig, Vec<Problem>> {
    validate(parse(text, format)?)
}
