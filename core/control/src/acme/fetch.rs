//! HTTPS to authorities: a connection for each request, verified, bounded in time and size.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a request may take, from looking up the host to the end of the answer.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The longest answer: certificates are a few KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HTTPS_PORT: u16 = 443;

/// Why an authority was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{uri} is not a URL of https")]
    Url { uri: Uri },
    #[error("{host} is no host name")]
    Name {
        host: String,
        source: InvalidDnsNameError,
    },
    #[error("no connection to {host}:{port}: {source}")]
    Connect {
        host: String,
        port: u16,
        source: std::io::Error,
    },
    #[error("no TLS with {host}:{port}: {source}")]
    Tls {
        host: String,
        port: u16,
        source: std::io::Error,
    },
    #[error("{host} does not answer as a web server does: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("the answer of {host} did not come to its end: {reason}")]
    Answer { host: String, reason: String },
    #[error("{host} has not answered within {} s", REQUEST_MAX.as_secs())]
    Slow { host: String },
    #[error("TLS cannot be spoken: {source}")]
    Config { source: rustls::Error },
}

/// Asks authorities.
pub(super) struct Fetch {
    tls: Arc<ClientConfig>,
}

impl Fetch {
    /// Asks those for whom these vouch.
    pub(super) fn new(roots: Arc<RootCertStore>) -> Result<Self, FetchError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| FetchError::Config { source })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config),
        })
    }
}

impl HttpClient for Fetch {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let fetched = tokio::time::timeout(REQUEST_MAX, fetch(tls, request)).await;
            let response = fetched.unwrap_or(Err(FetchError::Slow { host }));
            let response = response.map_err(|error| Error::Other(Box::new(error)))?;
            Ok(BytesResponse::from(response))
        })
    }
}

async fn fetch(
    tls: Arc<ClientConfig>,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, FetchError> {
    let uri = request.uri().clone();
    let host = match uri.host() {
        Some(host) if uri.scheme() == Some(&Scheme::HTTPS) => host.to_owned(),
        Some(_) | None => return Err(FetchError::Url { uri }),
    };
    let port = uri.port_u16().unwrap_or(HTTPS_PORT);
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(bare.clone()).map_err(|source| FetchError::Name {
        host: host.clone(),
        source,
    })?;
    let connected = TcpStream::connect((bare.as_str(), port)).await;
    let stream = connected.map_err(|source| FetchError::Connect {
        host: host.clone(),
        port,
        source,
    })?;
    let shaken = TlsConnector::from(tls).connect(name, stream).await;
    let stream = shaken.map_err(|source| FetchError::Tls {
        host: host.clone(),
        port,
        source,
    })?;
    let http = |source| FetchError::Http {
        host: host.clone(),
        source,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(http)?;
    let driver = tokio::spawn(connection);
    // A server is told the path; the host stands in a field.
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if let Ok(value) = authority.parse() {
        request.headers_mut().insert(HOST, value);
    }
    let response = sender.send_request(request).await.map_err(http)?;
    let (parts, body) = response.into_parts();
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    driver.abort();
    let body = collected.map_err(|error| FetchError::Answer {
        host: host.clone(),
        reason: error.to_string(),
    })?;
    Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
}
