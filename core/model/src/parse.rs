//! From text to a document, with every problem at once: first the syntax, then each value against
//! the schema, then serde, which finds nothing that the schema did not.

use std::path::Path as FilePath;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::fleet::{self, Fleet};
use crate::problem::{Code, Path, Problem};
use crate::schema::{self, Shape};
use crate::seed::{self, Seed};

mod check;
mod duplicate;
mod finding;
mod json;
mod mend;
mod node;
mod toml;

use finding::Findings;
use node::Node;

/// The largest document that is read. Ten thousand servers in a thousand pools take less than one
/// megabyte; the parser takes a hundred bytes of memory for each byte of a hostile text.
const TEXT_BYTES_MAX: usize = 8 << 20;

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
    let draft = Draft::<Config>::read(text, format);
    match draft.document {
        Some(config) if draft.findings.is_empty() => Ok(config),
        Some(_) | None => Err(draft.findings.into_problems(text)),
    }
}

/// Everything that is wrong with a part of a document, whose place is given, when it is compared with
/// its shape. Whether it fits the rest of the document is not looked at.
pub fn check_value(value: &Value, shape: &Shape, place: &Path) -> Vec<Problem> {
    let text = value.to_string();
    let mut findings = Findings::default();
    let root = json::read(&text, &mut findings);
    check::check(&text, &root, shape, false, &mut findings);
    let problems = findings.into_problems(&text).into_iter();
    let placed = |problem: Problem| Problem {
        path: place.join(&problem.path),
        position: None,
        ..problem
    };
    problems.map(placed).collect()
}

/// What a text can be: a kind of document, with a shape.
pub(crate) trait Document: DeserializeOwned {
    /// What may be in it.
    fn shape() -> &'static Shape;
}

impl Document for Config {
    fn shape() -> &'static Shape {
        schema::shape()
    }
}

impl Document for Fleet {
    fn shape() -> &'static Shape {
        fleet::shape()
    }
}

impl Document for Seed {
    fn shape() -> &'static Shape {
        seed::shape()
    }
}

/// A document as far as it could be read.
#[derive(Debug)]
pub(crate) struct Draft<'t, D> {
    text: &'t str,
    root: Node<'t>,
    findings: Findings,
    /// The places where the document is not what was written.
    mended: Vec<Path>,
    /// The document, unless the syntax hides what it is.
    pub(crate) document: Option<D>,
}

impl<'t, D: Document> Draft<'t, D> {
    /// Reads a text as far as it goes.
    pub(crate) fn read(text: &'t str, format: Format) -> Self {
        let mut findings = Findings::default();
        if text.len() > TEXT_BYTES_MAX {
            let message = format!(
                "the document has {} bytes, the most is {TEXT_BYTES_MAX}",
                text.len()
            );
            let help = "is this the right file?";
            findings.push(
                Problem::new(Code::TooLarge, Path::root(), message, help),
                None,
            );
            let root = json::read("{}", &mut findings);
            return Self {
                text,
                root,
                findings,
                mended: Vec::new(),
                document: None,
            };
        }
        let root = match format {
            Format::Json => json::read(text, &mut findings),
            Format::Toml => toml::read(text, &mut findings),
        };
        let partial = !findings.is_empty();
        let checked = check::check(text, &root, D::shape(), partial, &mut findings);
        let document: Option<D> = match serde_json::from_value(checked.document) {
            Ok(document) => Some(document),
            Err(error) => {
                let help = "the schema does not tell why; please report this";
                let problem = Problem::new(Code::Unreadable, Path::root(), error.to_string(), help);
                findings.push(problem, None);
                None
            }
        };
        let document = document.filter(|_| !partial);
        Self {
            text,
            root,
            findings,
            mended: checked.mended,
            document,
        }
    }

    /// Whether the text and every value in it are right.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Gives problems of the document their places in the text.
    pub(crate) fn locate(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let mut findings = Findings::default();
        for problem in problems {
            let span = self.root.locate(&problem.path);
            findings.push(problem, span);
        }
        findings.into_problems(self.text)
    }

    /// Everything that is wrong: with the text, and of what the checks of the whole document say
    /// that which does not follow from a value that was refused already.
    pub(crate) fn into_problems(mut self, of_the_whole: Vec<Problem>) -> Vec<Problem> {
        let mended = std::mem::take(&mut self.mended);
        let follows = |path: &Path| mended.iter().any(|m| m.holds(path) || path.holds(m));
        // With a key of the document itself refused, such as `pool` for `pools`, any pool may be
        // in it.
        let pools_unknown = mended.iter().any(|m| m.steps().len() == 1);
        for problem in of_the_whole {
            let follows =
                follows(&problem.path) || pools_unknown && problem.code == Code::UnknownPool;
            if problem.is_error() && !follows {
                let span = self.root.locate(&problem.path);
                self.findings.push(problem, span);
            }
        }
        self.findings.into_problems(self.text)
    }
}
