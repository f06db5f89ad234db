//! Results in the form that was asked for.

use serde::Serialize;

use crate::args::Output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;

/// A result could not be put into the form that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("cannot write the result as JSON")]
    Json(#[source] serde_json::Error),
    #[error("cannot write the result as YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
}

impl Explained for OutputError {
    fn help(&self) -> Option<String> {
        None
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// Prints a result: for people as `table` says, for programs as its fields are.
pub(crate) fn print<T: Serialize>(
    screen: &Screen,
    output: Output,
    result: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = match output {
        Output::Table => table(result),
        Output::Json => serde_json::to_string_pretty(result).map_err(OutputError::Json)? + "\n",
        Output::Yaml => yaml(result)?,
    };
    Ok(screen.result(&text)?)
}

/// Prints a result on one line when it is JSON, for programs that read line by line.
pub(crate) fn print_line<T: Serialize>(
    screen: &Screen,
    output: Output,
    result: &T,
) -> Result<(), Failure> {
    let text = match output {
        Output::Table => String::new(),
        Output::Json => serde_json::to_string(result).map_err(OutputError::Json)? + "\n",
        Output::Yaml => yaml(result)?,
    };
    Ok(screen.result(&text)?)
}

fn yaml<T: Serialize>(result: &T) -> Result<String, OutputError> {
    serde_saphyr::to_string(result).map_err(OutputError::Yaml)
}
