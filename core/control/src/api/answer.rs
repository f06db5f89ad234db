//! Answers: what operations give, and how it is put into HTTP.

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use lb_model::api::{ApiError, ErrorAnswer, ErrorCode};
use serde::Serialize;

use super::event::EventStream;

/// What goes over the wire.
pub(super) type Answer = Response<Either<Full<Bytes>, EventStream>>;

/// What an operation gives.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The tag of what was read or made, without quotes.
    pub(super) etag: Option<String>,
}

impl Given {
    /// A value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Result<Self, ApiError> {
        let unwritable = |error| {
            ApiError::new(
                ErrorCode::Internal,
                format!("the answer cannot be written: {error}"),
            )
        };
        Ok(Self {
            content_type: "application/json",
            body: serde_json::to_vec(value).map_err(unwritable)?,
            etag: None,
        })
    }

    /// A text.
    pub(super) fn text(content_type: &'static str, text: String) -> Self {
        Self {
            content_type,
            body: text.into_bytes(),
            etag: None,
        }
    }

    /// The same with the tag of what it shows.
    pub(super) fn tagged(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }
}

/// An answer that does what was asked for.
pub(super) fn done(given: Given) -> Answer {
    let Given {
        content_type,
        body,
        etag,
    } = given;
    let mut answer = plain(StatusCode::OK, content_type, body);
    if let Some(tag) = etag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

/// An answer that says why not.
pub(super) fn refused(error: ApiError) -> Answer {
    let code = error.code;
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let allow = error
        .help
        .as_deref()
        .and_then(|help| help.strip_prefix("use "));
    let allow = allow.and_then(|methods| HeaderValue::from_str(methods).ok());
    let body = serde_json::to_vec(&ErrorAnswer { error }).unwrap_or_default();
    let mut answer = plain(status, "application/json", body);
    let headers = answer.headers_mut();
    match code {
        ErrorCode::Unauthorized => {
            let bearer = HeaderValue::from_static("Bearer realm=\"lbctl\"");
            headers.insert(WWW_AUTHENTICATE, bearer);
        }
        ErrorCode::MethodNotAllowed => {
            if let Some(allow) = allow {
                headers.insert(ALLOW, allow);
            }
        }
        ErrorCode::Busy => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        ErrorCode::TooManyAttempts => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("6"));
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // What is left of the body would be taken for the next request.
        ErrorCode::TooLarge | ErrorCode::Timeout => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        ErrorCode::BadRequest
        | ErrorCode::CannotApply
        | ErrorCode::Conflict
        | ErrorCode::Forbidden
        | ErrorCode::Internal
        | ErrorCode::InvalidDocument
        | ErrorCode::NotFound
        | ErrorCode::PreconditionFailed
        | ErrorCode::Stale
        | ErrorCode::UnsupportedType => {}
    }
    answer
}

/// A stream of events.
pub(super) fn stream(events: EventStream) -> Answer {
    let mut answer = Response::new(Either::Right(events));
    secure(&mut answer, "text/event-stream");
    answer
}

fn plain(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    secure(&mut answer, content_type);
    answer
}

/// What is here is for nobody's cache, and is what it says it is.
fn secure(answer: &mut Answer, content_type: &'static str) {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
