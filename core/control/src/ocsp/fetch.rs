//! The way to a responder and back: HTTP, within bounds.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::request::Subject;

/// How long it may take in all, from looking up the host to the end of the answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The largest answer; real ones have some kilobytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HTTP_PORT: u16 = 80;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The certificate names something else than a responder that speaks HTTP.
    #[error("`{0}` is no URL of http")]
    Url(String),
    /// There is no connection.
    #[error("no connection to {host}:{port}: {source}")]
    Connect {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// What comes is no HTTP.
    #[error("it does not answer as a web server does: {0}")]
    Http(#[source] hyper::Error),
    /// The answer is none.
    #[error("it answers with the status {0}")]
    Status(StatusCode),
    /// The answer does not end.
    #[error("its answer is longer than {} KiB", ANSWER_BYTES_MAX >> 10)]
    TooLong,
    /// There is none in time.
    #[error("it has not answered within {} s", ANSWER_MAX.as_secs())]
    Slow,
}

impl FetchError {
    /// What to do.
    pub(super) const fn help(&self) -> &'static str {
        match self {
            Self::Url(_) => {
                "set `ocsp_stapling = false` of the certificate: it cannot be asked for"
            }
            Self::Connect { .. } | Self::Slow => {
                "see that DNS and firewall let the balancer go there: curl -v URL; or set `ocsp_stapling = \
                 false` of the certificate"
            }
            Self::Http(_) | Self::Status(_) | Self::TooLong => {
                "see what it says: openssl ocsp -issuer ISSUER -cert CERTIFICATE -url URL; a proxy between \
                 may say it"
            }
        }
    }
}

/// Asks the responder that the certificate names.
pub(super) async fn fetch(subject: &Subject) -> Result<Bytes, FetchError> {
    timeout(ANSWER_MAX, ask(subject))
        .await
        .unwrap_or(Err(FetchError::Slow))
}

async fn ask(subject: &Subject) -> Result<Bytes, FetchError> {
    let url = || FetchError::Url(subject.responder.clone());
    let uri: Uri = subject.responder.parse().map_err(|_| url())?;
    let is_http = uri.scheme_str() == Some("http");
    let host = uri.host().filter(|_| is_http).ok_or_else(url)?;
    let port = uri.port_u16().unwrap_or(HTTP_PORT);
    let authority = uri.authority().ok_or_else(url)?.as_str();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/ocsp-request")
        .body(Full::new(Bytes::from(subject.request())))
        .map_err(|_| url())?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let connected = TcpStream::connect((bare, port)).await;
    let stream = connected.map_err(|source| FetchError::Connect {
        host: host.to_owned(),
        port,
        source,
    })?;
    let shaken = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = shaken.map_err(FetchError::Http)?;
    let exchange = async {
        let response = sender.send_request(request).await;
        let (parts, body) = response.map_err(FetchError::Http)?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(parts.status));
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(_) => FetchError::TooLong,
        })?;
        Ok(body.to_bytes())
    };
    tokio::select! {
        answered = exchange => answered,
        // Its end is seen by who waits for the answer.
        never = async { drop(connection.await); std::future::pending().await } => never,
    }
}
