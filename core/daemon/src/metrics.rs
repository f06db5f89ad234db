//! Metrics and health over HTTP, on an address for the operator's eyes: `GET /metrics` is the page
//! that Prometheus scrapes, `GET /health` tells a balancer in front whether this one takes traffic.
//!
//! It runs on the control thread: a scrape never takes time from a worker.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::sockets::Listening;

/// How many scrapes are served at a time; a stampede waits in the backlog.
const CONNECTIONS_MAX: usize = 32;

/// How long the header of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole connection may take: one request, and whoever reads the answer slowly is cut.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the system refuses another connection, mostly for lack of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served.
pub(crate) trait Observed: Send + Sync + 'static {
    /// The page of metrics.
    fn metrics(&self) -> String;

    /// Whether clients are welcome.
    fn is_serving(&self) -> bool;
}

/// Where metrics are served, if anywhere; a listener that takes the place of another one.
pub(crate) type Place = Option<Arc<Listening>>;

/// Serves where the document in force says, until nobody can change that any more.
pub(crate) async fn follow(mut places: watch::Receiver<Place>, observed: Arc<impl Observed>) {
    loop {
        let place = places.borrow_and_update().clone();
        let listener = place.as_deref().map(|place| {
            let listener = place.listener().try_clone()?;
            TcpListener::from_std(listener)
        });
        let changed = match listener.transpose() {
            Ok(Some(listener)) => tokio::select! {
                changed = places.changed() => changed,
                () = serve(listener, Arc::clone(&observed)) => return,
            },
            Ok(None) => places.changed().await,
            Err(error) => {
                tracing::error!(%error, "metrics cannot be served");
                places.changed().await
            }
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, observed: Arc<impl Observed>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let observed = Arc::clone(&observed);
                tokio::spawn(async move {
                    converse(stream, observed).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, observed: Arc<impl Observed>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &*observed);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever asks sees that the answer is missing; there is nothing to be done here.
    drop(tokio::time::timeout(CONNECTION_TIMEOUT, connection).await);
}

fn answer(request: &Request<Incoming>, observed: &impl Observed) -> Response<Full<Bytes>> {
    let method = request.method();
    let readable = method == Method::GET || method == Method::HEAD;
    match request.uri().path() {
        "/metrics" | "/health" if !readable => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            response
        }
        "/metrics" => {
            let mut response = text(StatusCode::OK, observed.metrics());
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        "/health" if observed.is_serving() => text(StatusCode::OK, "ok\n".into()),
        "/health" => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /metrics and /health\n".into(),
        ),
    }
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests;
