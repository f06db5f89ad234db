//! Results in the form that was asked for.

use serde::Serialize;

use crate::args::Output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Paint, Screen};

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

/// Prints a result on one line when it is JSON, for programs that read line by line; whether
/// anybody still reads.
pub(crate) fn print_line<T: Serialize>(
    screen: &Screen,
    output: Output,
    result: &T,
) -> Result<bool, Failure> {
    let text = match output {
        Output::Table => String::new(),
        Output::Json => serde_json::to_string(result).map_err(OutputError::Json)? + "\n",
        Output::Yaml => yaml(result)?,
    };
    Ok(screen.stream(&text)?)
}

fn yaml<T: Serialize>(result: &T) -> Result<String, OutputError> {
    serde_saphyr::to_string(result).map_err(OutputError::Yaml)
}

/// A table for people: columns as wide as what is in them.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    /// Appends a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The table with its headings set apart.
    pub(crate) fn text(&self, paint: Paint) -> String {
        self.text_painted(paint, |_| false)
    }

    /// The same, with the rows made red that something is wrong with.
    pub(crate) fn text_painted(&self, paint: Paint, is_bad: impl Fn(&str) -> bool) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let line = cells.join("  ");
            let line = line.trim_end();
            if number == 0 {
                text.push_str(&paint.faint(line));
            } else if is_bad(line) {
                text.push_str(&paint.error(line));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }
}
