//! Why nothing was done, as an answer.

use std::error::Error;
use std::fmt::Write;

use lb_model::api::{ApiError, ErrorCode, Revision};
use lb_model::problem::Problem;

use crate::{AccessError, Controller, Engine, Refused};

/// A change that was refused.
pub(super) fn refused<E: Engine>(controller: &Controller<E>, refusal: Refused) -> ApiError {
    let code = match &refusal {
        Refused::Stale { .. } => ErrorCode::Stale,
        Refused::Guarded { .. } => ErrorCode::PreconditionFailed,
        Refused::Invalid(_) => ErrorCode::InvalidDocument,
        Refused::Forbidden(_) => ErrorCode::Forbidden,
        Refused::NoRevision { .. } => ErrorCode::NotFound,
        Refused::Awaiting { .. } | Refused::NotAwaiting { .. } => ErrorCode::Conflict,
        Refused::ConfirmTime(_) => ErrorCode::BadRequest,
        Refused::Engine(_) => ErrorCode::CannotApply,
        Refused::Store(_) => ErrorCode::Internal,
        Refused::Busy(_) | Refused::Stopping => ErrorCode::Busy,
    };
    let mut message = chain(&refusal);
    if let Refused::Stale { .. } = refusal {
        let Revision { author, source, .. } = &controller.current().revision;
        let source = source.as_str();
        write!(message, "; it was made by `{author}` ({source})")
            .expect("a String takes every write");
    }
    let help = refusal.help();
    if let Refused::Invalid(problems) = refusal {
        return invalid_document(problems);
    }
    with_help(ApiError::new(code, message), help)
}

fn with_help(error: ApiError, help: Option<String>) -> ApiError {
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// An error with its causes, as an answer has one line for all of them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A document that cannot be used.
pub(super) fn invalid_document(problems: Vec<Problem>) -> ApiError {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let plural = if errors == 1 { "" } else { "s" };
    let message = format!("the document has {errors} error{plural}");
    ApiError::new(ErrorCode::InvalidDocument, message)
        .help("each of `problems` says where it is and what to do")
        .problems(problems)
}

/// The object is not what the caller looked at.
pub(super) fn mismatch(what: &str, wanted: &str, found: &str) -> ApiError {
    let message = format!("{what} has changed: its tag is `{found}`, not `{wanted}`");
    ApiError::new(ErrorCode::PreconditionFailed, message)
        .help("read it again, and make the change anew")
}

/// A change of who may come in that was refused.
pub(super) fn access_refused(error: &AccessError) -> ApiError {
    let code = match error {
        AccessError::Taken(_)
        | AccessError::UserTaken(_)
        | AccessError::TooMany
        | AccessError::TooManyUsers
        | AccessError::BeyondUser { .. } => ErrorCode::Conflict,
        AccessError::NoBootstrap | AccessError::Unknown(_) | AccessError::UnknownUser(_) => {
            ErrorCode::NotFound
        }
        AccessError::Noun(_) | AccessError::Copy(_) => ErrorCode::BadRequest,
        AccessError::Bootstrap => ErrorCode::Unauthorized,
        AccessError::Random(_) | AccessError::File { .. } | AccessError::Audit(_) => {
            ErrorCode::Internal
        }
    };
    ApiError::new(code, chain(error)).help(error.help())
}
