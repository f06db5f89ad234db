//! From a document that parses to one that can run: references, contradictions, and what is legal
//! but surely wrong. Each rule is one function, and each has its code.

use crate::config::Config;
use crate::problem::Problem;

mod acme;
mod found;
mod machine;
mod persistence;
mod pool;
mod reach;
mod reference;
mod rule;
mod service;
mod tls;

pub(crate) use found::Found;
pub(crate) use machine::file_name;

/// A document without contradictions. It only comes from [`validate()`] or [`read`](crate::read).
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

    /// The same with warnings that know their places in the text.
    pub(crate) fn map_warnings(self, locate: impl FnOnce(Vec<Problem>) -> Vec<Problem>) -> Self {
        Self {
            warnings: locate(self.warnings),
            ..self
        }
    }
}

/// Every check of a document as a whole.
const CHECKS: [fn(&Config, &mut Found); 32] = [
    reference::unknown_pools,
    reference::sorry_pool_is_pool,
    reference::unused_pools,
    machine::addresses_taken,
    machine::metrics_exposed,
    machine::log_file_name,
    machine::admin_certificate,
    machine::certificate_unused,
    tls::unknown_certificates,
    tls::unknown_authorities,
    tls::unused,
    tls::files,
    acme::accounts,
    acme::certificates,
    acme::reached,
    tls::with_clients,
    tls::with_servers,
    service::nowhere_to_go,
    service::service_disabled,
    service::close_false,
    service::target_above_head,
    service::http_only,
    rule::rule_does_nothing,
    rule::duplicate_rules,
    rule::header_edits,
    rule::answers,
    reach::rules_that_never_match,
    pool::servers,
    pool::health_checks,
    pool::connections_shared,
    persistence::cookies,
    persistence::cookies_shared,
];

/// Checks a document.
///
/// # Errors
/// Everything that is wrong with it, errors first, then warnings.
pub fn validate(config: Config) -> Result<ValidConfig, Vec<Problem>> {
    let mut found = Found::default();
    for check in CHECKS {
        check(&config, &mut found);
    }
    let Found {
        mut errors,
        warnings,
    } = found;
    if errors.is_empty() {
        Ok(ValidConfig { config, warnings })
    } else {
        errors.extend(warnings);
        Err(errors)
    }
}
