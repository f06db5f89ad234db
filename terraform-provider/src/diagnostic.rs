//! What Terraform shows to a person: what went wrong, at which attribute, why, and the mend.

use std::error::Error;

use lb_client::ClientError;
use lb_model::Problem;
use lb_model::problem::{Path, Step};

use crate::schema::{Attribute, Kind, Nesting};
use crate::wire::{self, AttributePath, Selector, number};

/// An error or a warning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diagnostic {
    is_error: bool,
    summary: String,
    detail: String,
    /// The attribute, by names of attributes, keys and indices.
    at: Option<Path>,
}

/// Everything that keeps something from being done.
pub(crate) type Diagnostics = Vec<Diagnostic>;

impl Diagnostic {
    pub(crate) fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            is_error: true,
            summary: sentence(&summary.into()),
            detail: detail.into(),
            at: None,
        }
    }

    pub(crate) fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            is_error: false,
            ..Self::error(summary, detail)
        }
    }

    /// The same as a warning: for what hinders nothing yet.
    pub(crate) fn into_warning(mut self) -> Self {
        self.is_error = false;
        self
    }

    /// The same, at an attribute.
    pub(crate) fn at(mut self, path: Path) -> Self {
        self.at = Some(path);
        self
    }

    /// The same, at an attribute of the resource itself.
    pub(crate) fn of(self, attribute: &str) -> Self {
        self.at(Path::root().key(attribute))
    }

    /// What the model says is wrong, at the place in the resource. Terraform knows the lines of the
    /// attributes of a resource and of nothing below them, so that the rest of the place is in the text.
    pub(crate) fn of_problem(problem: &Problem, at: &Path) -> Self {
        let summary = match at.steps() {
            [] | [_] => sentence(&problem.message),
            _ => format!("{at}: {}", problem.message),
        };
        let found = Self {
            is_error: problem.is_error(),
            summary: format!("{summary} [{}]", problem.code),
            detail: sentence(&problem.help),
            at: None,
        };
        match at.steps().first() {
            Some(first) => found.at(Path::from(std::slice::from_ref(first))),
            None => found,
        }
    }

    /// Why a balancer did not do what it was asked for. `place` tells where in the resource a place of
    /// the document is, if it is there.
    pub(crate) fn of_client(
        error: &ClientError,
        what: &str,
        place: impl Fn(&Path) -> Option<Path>,
    ) -> Diagnostics {
        if !error.problems().is_empty() {
            let problems = error.problems().iter().filter(|problem| problem.is_error());
            let told = problems.map(|problem| {
                if let Some(at) = place(&problem.path) {
                    return Self::of_problem(problem, &at);
                }
                let mut found = Self::of_problem(problem, &Path::root());
                found.detail = format!("{what}: at {}. {}", problem.path, found.detail);
                found
            });
            return told.collect();
        }
        let help = error.help().map(|help| format!("\n\n{}", sentence(&help)));
        let detail = format!("{what}: {}.{}", chain(error), help.unwrap_or_default());
        vec![Self::error(error.to_string(), detail)]
    }

    pub(crate) fn to_wire(&self, attributes: &[Attribute]) -> wire::Diagnostic {
        wire::Diagnostic {
            severity: if self.is_error {
                number::ERROR
            } else {
                number::WARNING
            },
            summary: self.summary.clone(),
            detail: self.detail.clone(),
            attribute: self.at.as_ref().map(|path| to_wire_path(path, attributes)),
        }
    }
}

/// An error with all of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A path in Terraform's steps, as far as the attributes go.
pub(crate) fn to_wire_path(path: &Path, attributes: &[Attribute]) -> AttributePath {
    let mut steps = Vec::new();
    let mut inside = Inside::Object(attributes);
    for step in path.steps() {
        let selector = match (inside, step) {
            (Inside::Object(attributes), Step::Key(name)) => {
                let Some(attribute) = attributes.iter().find(|a| *a.name == **name) else {
                    break;
                };
                inside = Inside::of(&attribute.kind);
                Selector::AttributeName(name.to_string())
            }
            (Inside::Elements(below), Step::Key(key)) => {
                inside = below.map_or(Inside::Nothing, Inside::Object);
                Selector::ElementKeyString(key.to_string())
            }
            (Inside::Elements(below), Step::Index(index)) => {
                inside = below.map_or(Inside::Nothing, Inside::Object);
                Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX))
            }
            (Inside::Nothing | Inside::Object(_), _) => break,
        };
        steps.push(wire::Step {
            selector: Some(selector),
        });
    }
    AttributePath { steps }
}

/// What a path can lead into.
#[derive(Clone, Copy)]
enum Inside<'a> {
    Object(&'a [Attribute]),
    /// Elements, which are objects or plain values.
    Elements(Option<&'a [Attribute]>),
    Nothing,
}

impl<'a> Inside<'a> {
    fn of(kind: &'a Kind) -> Self {
        match kind {
            Kind::Scalar(_) => Self::Nothing,
            Kind::List(_) | Kind::Map(_) => Self::Elements(None),
            Kind::Nested(Nesting::Single, attributes) => Self::Object(attributes),
            Kind::Nested(Nesting::List | Nesting::Map, attributes) => {
                Self::Elements(Some(attributes))
            }
        }
    }
}

/// The text with a large letter at its beginning, as Terraform's own summaries have.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), chars.as_str())
}
