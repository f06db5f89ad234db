//! From text to a document, with line and column.

use std::path::Path as FilePath;

use crate::config::Config;
use crate::problem::{Code, Path, Position, Problem};

/// How a document is written. Both forms hold the same document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON, as programs write it.
    Json,
    /// TOML, as people write it.
    #[default]
    Toml,
}

impl Format {
    /// The format that the name of a file says: JSON for `.json`, else TOML.
    pub fn of_path(path: &FilePath) -> Self {
        let extension = path.extension().unwrap_or_default();
        if extension.eq_ignore_ascii_case("json") {
            Self::Json
        } else {
            Self::Toml
        }
    }
}

/// Reads a document, which may still be contradictory.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(text: &str, format: Format) -> Result<Config, Vec<Problem>> {
    let problem = |message: String, position| {
        vec![Problem::new(Code::Syntax, Path::root(), message, "").at(position)]
    };
    match format {
        Format::Json => serde_json::from_str(text).map_err(|e| {
            let (line, column, length) = (e.line(), e.column(), 1);
            problem(
                e.to_string(),
                Some(Position {
                    line,
                    column,
                    length,
                }),
            )
        }),
        Format::Toml => toml::from_str(text).map_err(|e| problem(e.message().to_owned(), None)),
    }
}
