//! What is wrong with a document: a stable code, where, the value with what is allowed, and the mend.
//!
//! Every check of this crate reports problems and goes on, so that an operator sees all of them at
//! once. This module knows nothing of how they are found.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

mod code;
mod path;
mod render;

pub use code::Code;
pub use path::InvalidPath;
pub use render::{render, render_ansi};

/// The most characters of a message or help text; longer ones are cut. Values that an operator
/// pasted by mistake may be megabytes long.
const TEXT_CHARS_MAX: usize = 400;

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Whether the document can be used all the same.
    pub severity: Severity,
    /// What kind of problem it is; the codes are stable and listed in the reference.
    pub code: Code,
    /// Where in the document, by names.
    pub path: Path,
    /// Where in the text, when there is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What is wrong, with the value and what is allowed.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// Whether a document with this problem can be used.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but surely does not do what was meant.
    Warning,
}

/// A place in a text. Lines and columns count from 1; a column is one character.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The first character on that line.
    pub column: usize,
    /// How many characters of that line are meant, at least 1.
    pub length: usize,
}

/// A place in a document, such as `pools.web.servers.iis1.weight`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A key of a table.
    Key(Box<str>),
    /// An element of a list, counted from 0.
    Index(usize),
}

impl Problem {
    /// A problem without a position; control characters are made visible and texts bounded, as both
    /// may quote a document that nobody has checked.
    pub fn new(code: Code, path: Path, message: impl AsRef<str>, help: impl AsRef<str>) -> Self {
        Self {
            severity: code.severity(),
            code,
            path,
            position: None,
            message: printable(message.as_ref()),
            help: printable(help.as_ref()),
        }
    }

    /// The same problem with its place in the text.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Self {
        self.position = position;
        self
    }

    /// Whether the document cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Path {
    /// The whole document.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The place under a key of this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// The place of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The place that lies at `below`, seen from this one.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self([&self.0[..], &below.0].concat())
    }

    /// The steps from the root of the document.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether `other` is this place or lies below it.
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }
}

impl From<&[Step]> for Path {
    fn from(steps: &[Step]) -> Self {
        Self(steps.to_vec())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: ", self.severity.as_str(), self.code)?;
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => write!(f, "{}", Key(key))?,
                Step::Key(key) => write!(f, ".{}", Key(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A key as TOML would write it: bare where that is possible.
struct Key<'a>(&'a str);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !self.0.is_empty() && self.0.bytes().all(bare) {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", printable(self.0))
        }
    }
}

/// The text with control characters made visible, and bounded.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_CHARS_MAX));
    for (i, c) in text.chars().enumerate() {
        if i == TEXT_CHARS_MAX {
            out.push('…');
            break;
        }
        if c.is_control() || is_bidi_control(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that make a terminal show text in another order than it is in.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_toml_would_write_it() {
        let path = Path::root()
            .key("pools")
            .key("web.v2")
            .key("rules")
            .index(3)
            .key("name");
        assert_eq!(path.to_string(), "pools.\"web.v2\".rules[3].name");
    }

    #[test]
    fn a_pasted_megabyte_with_escape_codes_is_shown_short_and_harmless() {
        let text = format!("\u{1b}[31m{}", "x".repeat(1 << 20));
        let problem = Problem::new(Code::Syntax, Path::root(), text, "");
        assert!(problem.message.starts_with("\\u{1b}[31mxxx"));
        assert!(problem.message.chars().count() < 420);
    }
}
