//! How the API says that it did not do what was asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The answer to a request that was not done. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer {
    /// What went wrong.
    pub error: ApiError,
}

/// What went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiError {
    /// What kind of error it is, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Everything that is wrong with the document that was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What kind of error it is. Each has one status, so that a program may look at either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request or the document in it cannot be read.
    BadRequest,
    /// 401: there is no token, or it is not known, or it has expired.
    Unauthorized,
    /// 403: the role or the scope of the token does not allow it.
    Forbidden,
    /// 404: there is no such path or object.
    NotFound,
    /// 405: the path is right, and the method is not.
    MethodNotAllowed,
    /// 408: the request took too long to arrive.
    Timeout,
    /// 409: the configuration has changed since the caller looked at it.
    Stale,
    /// 409: the object is there already, or what was asked for contradicts what is going on.
    Conflict,
    /// 412: the object has changed since the caller looked at it.
    PreconditionFailed,
    /// 413: the body is larger than this request may have.
    TooLarge,
    /// 415: the body is of a type that this request does not take.
    UnsupportedType,
    /// 422: the document can be read and is wrong.
    InvalidDocument,
    /// 422: the change is right, and this machine cannot carry it out, such as a port in use.
    CannotApply,
    /// 429: too many tokens that are none came from this address; a good one is still taken.
    TooManyAttempts,
    /// 500: a fault of the balancer or of the machine, such as a full disk.
    Internal,
    /// 503: too much is going on; the same request may be sent again after a moment.
    Busy,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Stale,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::UnsupportedType,
        Self::InvalidDocument,
        Self::CannotApply,
        Self::TooManyAttempts,
        Self::Internal,
        Self::Busy,
    ];

    /// The status of an answer with this code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Stale | Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedType => 415,
            Self::InvalidDocument | Self::CannotApply => 422,
            Self::TooManyAttempts => 429,
            Self::Internal => 500,
            Self::Busy => 503,
        }
    }
}

impl ApiError {
    /// An error without a mend.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: None,
            problems: Vec::new(),
        }
    }

    /// The same error with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same error with what is wrong with the document.
    #[must_use]
    pub fn problems(mut self, problems: Vec<Problem>) -> Self {
        self.problems = problems;
        self
    }
}
