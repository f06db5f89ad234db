//! What the control plane needs of the data plane.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use lb_model::ValidConfig;
use lb_model::value::Name;

/// A data plane whose configuration can be replaced while it serves.
pub trait Engine: Send + Sync + 'static {
    /// A configuration that is ready to serve. Dropping it leaves everything as it was.
    type Prepared: Send;

    /// Whether this machine can serve a configuration, as far as that can be told by looking: a plan is
    /// refused as its change would be.
    ///
    /// # Errors
    /// What it names that cannot be used.
    fn judge(&self, config: &ValidConfig) -> Result<(), EngineError>;

    /// Does everything that can fail, such as binding an address. What is served does not change.
    ///
    /// # Errors
    /// What this machine cannot do; nothing of it is left.
    fn prepare(&self, config: &Arc<ValidConfig>) -> Result<Self::Prepared, EngineError>;

    /// Serves what was prepared, from now on. It cannot fail.
    fn commit(&self, prepared: Self::Prepared);

    /// Serves this document, which is in force, with what it names outside itself, such as files of
    /// certificates, as that is now. What cannot be used is told, and changes nothing.
    fn refresh(&self, config: &Arc<ValidConfig>);

    /// Tells for every server whether it is up; events come from the differences.
    fn servers(&self, tell: &mut dyn FnMut(ServerHealth<'_>));
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHealth<'a> {
    /// Its pool.
    pub pool: &'a Name,
    /// Its name.
    pub server: &'a Name,
    /// Whether its health check lets it have traffic.
    pub is_up: bool,
}

/// Why the engine cannot serve a document that is right in itself.
#[derive(Debug)]
pub struct EngineError {
    reason: Box<dyn Error + Send + Sync>,
    help: Option<String>,
}

impl EngineError {
    /// An error with its mend, if there is one.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>, help: Option<String>) -> Self {
        let reason = reason.into();
        Self { reason, help }
    }

    /// What to do, when there is something.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}
