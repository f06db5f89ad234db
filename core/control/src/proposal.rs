//! What somebody wants to change, and what became of it.

use std::fmt;
use std::time::Duration;

use lb_model::api::{Revision, Source, Timestamp};
use lb_model::edit::{Edit, ObjectPath};
use lb_model::plan::Plan;
use lb_model::{Config, Problem};

use crate::{Caller, EngineError, Etag, ScopeError, StoreError};

/// A change that somebody wants.
#[derive(Debug)]
pub struct Proposal {
    /// Who wants it.
    pub author: Caller,
    /// Where it came from.
    pub source: Source,
    /// Why, in the words of its author.
    pub comment: Option<String>,
    /// What is wanted.
    pub change: Change,
    /// The revision that the caller thinks is in force; another one makes the proposal stale. None
    /// does not ask.
    pub parent: Option<u64>,
    /// What the caller thinks of objects.
    pub expected: Vec<(ObjectPath, Expected)>,
    /// Go back unless the change is confirmed within this time.
    pub confirm: Option<Duration>,
}

/// What must be true of an object for a proposal to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is not there.
    Absent,
    /// It is there.
    Exists,
    /// It is there, in this version.
    Is(Etag),
}

impl Expected {
    /// Whether that holds of an object in this version, or of one that is not there.
    pub fn holds(&self, found: Option<&Etag>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Exists => found.is_some(),
            Self::Is(tag) => found == Some(tag),
        }
    }
}

/// What the document shall be.
pub enum Change {
    /// This document, whole.
    Document(Box<Config>),
    /// The one in force, edited when it is its turn, so that edits of different objects
    /// never overwrite each other.
    Edits(Vec<Edit>),
    /// What it was in the revision with this number.
    Rollback(u64),
}

/// What a proposal would do.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The revision that it was looked at with: the `parent` to propose it with.
    pub parent: u64,
    /// What would change.
    pub plan: Plan,
    /// What can be used and surely does not do what was meant.
    pub warnings: Vec<Problem>,
}

/// What became of a proposal.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The revision in force after it. Without a change, that is the one from before.
    pub revision: Revision,
    /// Whether it made that revision. A proposal that changes nothing makes none.
    pub is_new: bool,
    /// What has changed.
    pub plan: Plan,
    /// What can be used and surely does not do what was meant.
    pub warnings: Vec<Problem>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Another revision is in force than the caller thought.
    #[error("the configuration has changed: revision {current} is in force, not {parent}")]
    Stale {
        /// What the caller thought.
        parent: u64,
        /// What is.
        current: u64,
    },
    /// An object is not as the caller thought.
    #[error("{}", changed(object, found.as_ref()))]
    Guarded {
        /// The object.
        object: ObjectPath,
        /// Its version now, if it is there.
        found: Option<Etag>,
    },
    /// The document is wrong.
    #[error("the document is not valid{}", first(.0))]
    Invalid(Vec<Problem>),
    /// The caller may not change this.
    #[error(transparent)]
    Forbidden(#[from] ScopeError),
    /// There is no such revision, or none any more.
    #[error("there is no revision {number}; the oldest is {oldest}, the newest {newest}")]
    NoRevision {
        /// The number asked for.
        number: u64,
        /// The oldest that there is.
        oldest: u64,
        /// The newest that there is.
        newest: u64,
    },
    /// Another change waits to be confirmed.
    #[error("revision {number} waits until {until} to be confirmed")]
    Awaiting {
        /// Its number.
        number: u64,
        /// Until when.
        until: Timestamp,
    },
    /// The revision does not wait to be confirmed.
    #[error("revision {number} does not wait to be confirmed")]
    NotAwaiting {
        /// Its number.
        number: u64,
    },
    /// The time to confirm is not one.
    #[error("a change can wait from 1 s to {} h to be confirmed, not {} s",
        crate::controller::CONFIRM_MAX.as_secs() / 3600, .0.as_secs())]
    ConfirmTime(Duration),
    /// The document is right, and this machine cannot carry it out.
    #[error("this machine cannot serve it")]
    Engine(#[source] EngineError),
    /// It cannot be stored, or what is needed cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many wait.
    #[error("{0} changes wait already")]
    Busy(usize),
    /// The balancer is stopping.
    #[error("the balancer is stopping")]
    Stopping,
}

impl Refused {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Stale { .. } => "look at what has changed, and propose it again".to_owned(),
            Self::Guarded { object, .. } => {
                format!("read `{object}` again, and make the change anew")
            }
            Self::Invalid(problems) => problems
                .iter()
                .find(|problem| problem.is_error())?
                .help
                .clone(),
            Self::Forbidden(_) => "use a token that may".to_owned(),
            Self::NoRevision { .. } => "`lbctl history` lists those that there are".to_owned(),
            Self::Awaiting { number, .. } => {
                format!("keep it with `lbctl confirm {number}`, or roll it back, and try again")
            }
            Self::NotAwaiting { .. } => "`lbctl history` shows what is in force".to_owned(),
            Self::ConfirmTime(_) => "use a time such as 60s".to_owned(),
            Self::Engine(error) => return error.help().map(str::to_owned),
            Self::Store(error) => error.help()?,
            Self::Busy(_) => "try again after a moment".to_owned(),
            Self::Stopping => "try again when it has started".to_owned(),
        })
    }
}

fn changed(object: &ObjectPath, found: Option<&Etag>) -> String {
    match found {
        Some(found) => format!("`{object}` has changed: its tag is `{found}`"),
        None => format!("there is no `{object}` any more"),
    }
}

fn first(problems: &[Problem]) -> String {
    let errors = || problems.iter().filter(|problem| problem.is_error());
    match (errors().next(), errors().count()) {
        (None, _) => String::new(),
        (Some(problem), 1) => format!(": {problem}"),
        (Some(problem), count) => format!(": {problem}, and {} more", count - 1),
    }
}

/// Documents are long, and may hold secrets.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(_) => f.write_str("Document(..)"),
            Self::Edits(edits) => {
                let paths = edits.iter().map(|edit| edit.path().to_string());
                f.write_str("Edits")?;
                f.debug_list().entries(paths).finish()
            }
            Self::Rollback(number) => f.debug_tuple("Rollback").field(number).finish(),
        }
    }
}
