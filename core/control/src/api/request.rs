//! Requests as operations see them: checked, bounded, and read to their end.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use lb_model::api::{ApiError, ErrorCode, Source};
use lb_model::value::{InvalidValue, Period};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::nearest_help;
use super::route::{Route, Segments, Takes};
use crate::{Caller, Secret};

/// The most bytes of a body that holds a document. A document has at most 8 MiB.
const DOCUMENT_BYTES_MAX: usize = 10 << 20;

/// The most bytes of any other body: one object, one request to explain.
const BODY_BYTES_MAX: usize = 256 << 10;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The most characters of a comment.
const COMMENT_CHARS_MAX: usize = 1000;

/// A request that its caller may make.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) route: &'static Route,
    pub(super) path: String,
    pub(super) segments: Segments,
    pub(super) query: BTreeMap<String, String>,
    pub(super) caller: Caller,
    /// What the caller sent to say who they are.
    pub(super) bearer: Option<Secret>,
    /// What must still be true of the object.
    pub(super) condition: Option<Condition>,
    /// Whether the answer should be TOML.
    pub(super) wants_toml: bool,
    /// Whether the body is TOML.
    pub(super) is_toml: bool,
    pub(super) body: Bytes,
}

/// What must be true of an object when it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It is not there (`If-None-Match: *`).
    Absent,
    /// It is there (`If-Match: *`).
    Exists,
    /// It is there with this tag, which is without its quotes here (`If-Match: "…"`).
    Is(String),
}

impl Condition {
    /// What it asks for, in a word.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Absent => "none",
            Self::Exists => "any",
            Self::Is(tag) => tag,
        }
    }
}

/// How a change is made, from the query.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) comment: Option<String>,
    pub(super) confirm: Option<Period>,
    pub(super) source: Source,
}

impl Ask {
    /// The body as what it must be.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            ApiError::new(ErrorCode::BadRequest, format!("the body is wrong: {error}"))
                .help("its form is in /openapi.json")
        })
    }

    /// The body as text.
    pub(super) fn text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body).map_err(|error| {
            let at = error.valid_up_to();
            let message = format!("the body is not UTF-8 text: byte {at} is wrong");
            ApiError::new(ErrorCode::BadRequest, message).help("send the document in UTF-8")
        })
    }

    /// A segment of the path.
    pub(super) fn segment<T: FromStr<Err = InvalidValue>>(
        &self,
        name: &str,
    ) -> Result<T, ApiError> {
        let text = self.segments.get(name).map_or("", String::as_str);
        text.parse().map_err(|error| invalid(&error))
    }

    /// A number in the path.
    pub(super) fn number(&self, name: &str) -> Result<u64, ApiError> {
        let text = self.segments.get(name).map_or("", String::as_str);
        number(text)
    }

    /// A number in the query.
    pub(super) fn query_number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let text = self.query.get(name);
        text.map(|text| number(text)).transpose()
    }

    /// How a change is made, from the query.
    pub(super) fn manner(&self) -> Result<Manner, ApiError> {
        let confirm = self.query.get("confirm").map(|text| text.parse::<Period>());
        let source = self.query.get("source").map_or("api", String::as_str);
        let source = match source {
            "api" => Source::Api,
            "cli" => Source::Cli,
            "console" => Source::Console,
            "terraform" => Source::Terraform,
            other => return Err(bad_source(other)),
        };
        Manner {
            comment: self.query.get("comment").cloned(),
            confirm: confirm.transpose().map_err(|error| invalid(&error))?,
            source,
        }
        .check()
    }
}

impl Manner {
    /// Refuses what no caller can be, and comments that nobody reads.
    pub(super) fn check(self) -> Result<Self, ApiError> {
        match self.source {
            Source::Api | Source::Cli | Source::Console | Source::Terraform => {}
            Source::File | Source::Revert | Source::Rollback => {
                return Err(bad_source(self.source.as_str()));
            }
        }
        let length = self.comment.as_ref().map_or(0, |text| text.chars().count());
        if length > COMMENT_CHARS_MAX {
            let message = format!("the comment has {length} characters");
            return Err(ApiError::new(ErrorCode::BadRequest, message)
                .help(format!("use at most {COMMENT_CHARS_MAX}")));
        }
        Ok(self)
    }
}

fn bad_source(source: &str) -> ApiError {
    let message = format!("`{source}` is not what a caller can be");
    ApiError::new(ErrorCode::BadRequest, message).help("use api, cli, console or terraform")
}

/// A value that is not one.
pub(super) fn invalid(error: &InvalidValue) -> ApiError {
    let help = format!("use {}", error.mend);
    ApiError::new(ErrorCode::BadRequest, error.reason.clone()).help(help)
}

fn number(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(ErrorCode::BadRequest, format!("`{text}` is not a number"))
            .help("use a whole number, such as 7")
    })
}

/// Reads the body of a request, and refuses what the route does not take.
pub(super) async fn read_body<B>(
    route: &Route,
    headers: &HeaderMap,
    body: B,
) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let content_type = media_type(headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()));
    let (accepted, bytes_max): (&[&str], _) = match &route.takes {
        Takes::Nothing => (&[], BODY_BYTES_MAX),
        Takes::Document => (
            &["application/json", "application/toml"],
            DOCUMENT_BYTES_MAX,
        ),
        Takes::Json(name)
            if matches!(name.as_str(), "PlanRequest" | "ApplyRequest" | "AccessCopy") =>
        {
            (&["application/json"], DOCUMENT_BYTES_MAX)
        }
        Takes::Json(_) => (&["application/json"], BODY_BYTES_MAX),
        Takes::Patch(_) => (
            &["application/merge-patch+json", "application/json"],
            BODY_BYTES_MAX,
        ),
    };
    let too_large = || {
        let message = format!("the body has more than {bytes_max} bytes");
        ApiError::new(ErrorCode::TooLarge, message).help("is this the right file?")
    };
    // What says that it is too large is not read at all.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let is_empty = body.is_end_stream();
    if !is_empty && !accepted.is_empty() && !accepted.contains(&content_type.as_str()) {
        let message = format!("the body is `{content_type}`");
        let help = format!("send it with `Content-Type: {}`", accepted.join("` or `"));
        return Err(ApiError::new(ErrorCode::UnsupportedType, message).help(help));
    }
    let collected = timeout(BODY_TIMEOUT, Limited::new(body, bytes_max).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => {
            let message = format!("the body broke off: {error}");
            let help = "send the request again";
            return Err(ApiError::new(ErrorCode::BadRequest, message).help(help));
        }
        Err(_) => {
            let after = BODY_TIMEOUT.as_secs();
            let message = format!("the body did not arrive within {after} s");
            let help = "send the whole body at once";
            return Err(ApiError::new(ErrorCode::Timeout, message).help(help));
        }
    };
    if route.takes == Takes::Nothing && !bytes.is_empty() {
        let message = format!("{} {} takes no body", route.method, route.template);
        return Err(ApiError::new(ErrorCode::BadRequest, message).help("leave it out"));
    }
    Ok(bytes)
}

/// Whether the body is TOML.
pub(super) fn is_toml(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    media_type(content_type) == "application/toml"
}

/// Whether the caller asks for TOML.
pub(super) fn wants_toml(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok());
    let mut kinds = accept.unwrap_or_default().split(',');
    kinds.any(|kind| media_type(Some(kind)) == "application/toml")
}

/// What `If-Match` or `If-None-Match` asks for.
pub(super) fn condition(headers: &HeaderMap) -> Result<Option<Condition>, ApiError> {
    let unreadable = || {
        ApiError::new(ErrorCode::BadRequest, "the condition cannot be read").help(
            "send `If-Match` with the ETag of the object as it was received or with `*`, or \
             `If-None-Match: *`",
        )
    };
    let only = |name| {
        let mut fields = headers.get_all(name).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err(unreadable());
        }
        let text = field.map(|field| field.to_str().map_err(|_| unreadable()));
        text.transpose()
    };
    let condition = match (only(IF_MATCH)?, only(IF_NONE_MATCH)?) {
        (None, None) => return Ok(None),
        (Some("*"), None) => Condition::Exists,
        (None, Some("*")) => Condition::Absent,
        (Some(tag), None) => {
            let bare = tag.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
            let bare = bare
                .filter(|tag| !tag.contains('"'))
                .ok_or_else(unreadable)?;
            Condition::Is(bare.to_owned())
        }
        (_, Some(_)) => return Err(unreadable()),
    };
    Ok(Some(condition))
}

fn media_type(field: Option<&str>) -> String {
    let kind = field.unwrap_or_default().split(';').next();
    kind.unwrap_or_default().trim().to_ascii_lowercase()
}

/// The parameters of a query that a route knows; each may be there once.
pub(super) fn query(route: &Route, text: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong = |what: &str| {
            let message = format!("the query has `{name}` {what}");
            let help = nearest_help(name, route.query.iter().map(|parameter| parameter.name));
            let help = help.unwrap_or_else(|| "see /openapi.json for what may be there".into());
            ApiError::new(ErrorCode::BadRequest, message).help(help)
        };
        if !route.query.iter().any(|parameter| parameter.name == name) {
            return Err(wrong("which is not known here"));
        }
        let value = unescape(value).ok_or_else(|| wrong("with a value that cannot be read"))?;
        if found.insert(name.to_owned(), value).is_some() {
            return Err(wrong("twice"));
        }
    }
    Ok(found)
}

/// Text as it was before it was put into a query.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                u8::try_from(value).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::header::HeaderValue;

    use super::super::route::find;
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_meant_and_a_slip_in_it_is_named() {
        let (route, _) = find(&Method::PUT, "/config/pools/web").unwrap();
        let found = query(route, "comment=50%25%20f%C3%BCr+iis2&confirm=60s").unwrap();
        assert_eq!(found["comment"], "50% für iis2");
        assert_eq!(found["confirm"], "60s");
        let error = query(route, "coment=x").unwrap_err();
        assert!(error.help.unwrap().contains("comment"));
        for wrong in [
            "confirm=1s&confirm=2s",
            "comment=%",
            "comment=%ff",
            "comment=%zz",
        ] {
            assert!(query(route, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_refused_and_never_passed_over() {
        let mut headers = HeaderMap::new();
        assert_eq!(condition(&headers).unwrap(), None);
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert_eq!(condition(&headers).unwrap(), Some(Condition::Absent));
        headers.insert(IF_MATCH, HeaderValue::from_static("*"));
        assert!(condition(&headers).is_err(), "both");
        headers.remove(IF_NONE_MATCH);
        headers.insert(IF_MATCH, HeaderValue::from_static("\"abc\""));
        let tag = Condition::Is("abc".to_owned());
        assert_eq!(condition(&headers).unwrap(), Some(tag));
        for wrong in ["abc", "\"a\", \"b\"", "W/\"a\"", ""] {
            headers.insert(IF_MATCH, HeaderValue::from_static(wrong));
            assert!(condition(&headers).is_err(), "{wrong}");
        }
    }
}
