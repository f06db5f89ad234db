//! What the checks have found so far.

use crate::problem::{Code, Path, Problem};
use crate::value::Name;

/// The most errors, and the most warnings, that are kept.
const KEPT_MAX: usize = 500;

/// Errors and warnings, up to a limit of each.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Found {
    pub(crate) fn report(
        &mut self,
        code: Code,
        path: Path,
        message: impl AsRef<str>,
        help: impl AsRef<str>,
    ) {
        let problem = Problem::new(code, path, message, help);
        let kept = if problem.is_error() {
            &mut self.errors
        } else {
            &mut self.warnings
        };
        if kept.len() < KEPT_MAX {
            kept.push(problem);
        }
    }

    /// Whether further errors are not kept, so that care for their words is in vain.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= KEPT_MAX
    }
}

/// The place of a virtual service.
pub(super) fn service_path(name: &Name) -> Path {
    Path::root().key("virtual_services").key(name.as_str())
}

/// The place of a pool.
pub(super) fn pool_path(name: &Name) -> Path {
    Path::root().key("pools").key(name.as_str())
}
