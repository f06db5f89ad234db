//! The log of the program itself, on the standard error. Requests are in the access log.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    Json,
    /// Lines for people.
    Text {
        /// Whether with colours.
        color: bool,
    },
}

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("`{0}` is not a log level")]
    Filter(String),
    /// There is a log already.
    #[error("cannot set up the log")]
    Init(#[source] TryInitError),
}

impl LogError {
    /// What to do.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Filter(_) => Some(
                "use error, warn, info, debug or trace, such as `info` or `info,lb_proxy=debug`"
                    .to_owned(),
            ),
            Self::Init(_) => None,
        }
    }
}

/// Sets up the log for the whole process.
pub fn init(filter: &str, format: Format) -> Result<(), LogError> {
    let filter = parse(filter).ok_or_else(|| LogError::Filter(filter.to_owned()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        Format::Json => builder.json().finish().try_init(),
        Format::Text { color } => builder.with_ansi(color).finish().try_init(),
    }
    .map_err(LogError::Init)
}

/// A filter as people write it. The library takes a level that is misspelt for the name of a module
/// and then logs nothing.
fn parse(filter: &str) -> Option<EnvFilter> {
    let level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    let directives = filter.split(',').map(str::trim);
    let known = directives.map(|directive| match directive.split_once('=') {
        Some((module, of_module)) => !module.is_empty() && level(of_module),
        None => level(directive),
    });
    known
        .fold(!filter.is_empty(), |all, this| all && this)
        .then(|| EnvFilter::try_new(filter).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_and_not_taken_for_a_module() {
        for filter in ["info", "warn,lb_proxy=debug", "off", "TRACE"] {
            assert!(parse(filter).is_some(), "{filter}");
        }
        for filter in ["", "inof", "info,", "lb_proxy=loud", "=info", "lb_proxy"] {
            assert!(parse(filter).is_none(), "{filter}");
        }
    }
}
