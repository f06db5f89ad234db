//! The CD, served to a controller under a path that nobody guesses, as long as it takes. The installer on the machine
//! tells how it goes under the same path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::error::RedfishError;
use super::machine::CD_PATH;

/// The most bytes that the installer tells at a time, and that are remembered.
const TOLD_BYTES_MAX: usize = 4096;

/// The most connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// A CD that is being served. It is not any more when this goes.
#[derive(Debug)]
pub(super) struct Media {
    address: SocketAddr,
    secret: String,
    shared: Arc<Shared>,
    told: watch::Receiver<String>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// The path of the CD, and where the installer tells.
    image_path: String,
    told_path: String,
    image: Bytes,
    sent: AtomicU64,
    told: watch::Sender<String>,
}

impl Drop for Media {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Media {
    /// Begins to listen. What is served is known only then, as it names the address.
    pub(super) async fn listen(
        address: SocketAddr,
        secret: String,
    ) -> Result<Listening, RedfishError> {
        let failed = |source| RedfishError::MediaAddress { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listening {
            listener,
            address,
            secret,
        })
    }

    /// Where the controller fetches the CD.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.address, image_path(&self.secret))
    }

    /// How many bytes were sent, and how many there are.
    pub(super) fn sent(&self) -> (u64, u64) {
        let total = self.shared.image.len() as u64;
        // Who reads a part twice has not read more of it.
        (self.shared.sent.load(Ordering::Relaxed).min(total), total)
    }

    /// What the installer has told, a line each.
    pub(super) fn told(&self) -> String {
        self.told.borrow().clone()
    }
}

/// An address for a CD that is not there yet.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    secret: String,
}

fn image_path(secret: &str) -> String {
    format!("{CD_PATH}{secret}/lbctl.iso")
}

fn told_path(secret: &str) -> String {
    format!("{CD_PATH}{secret}/told")
}

impl Listening {
    /// Where the installer tells how it goes.
    pub(super) fn tell_url(&self) -> String {
        format!("http://{}{}", self.address, told_path(&self.secret))
    }

    /// Serves this image.
    pub(super) fn serve(self, image: Vec<u8>) -> Media {
        let Self {
            listener,
            address,
            secret,
        } = self;
        let (sender, told) = watch::channel(String::new());
        let shared = Arc::new(Shared {
            image_path: image_path(&secret),
            told_path: told_path(&secret),
            image: image.into(),
            sent: AtomicU64::new(0),
            told: sender,
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Media {
            address,
            secret,
            shared,
            told,
            server,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of files, for one: whoever asks tries again.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(answer(&shared, request).await) }
            });
            let serve = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            // Who breaks off asks again.
            drop(serve.await);
            drop(permit);
        });
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if path == shared.told_path && *request.method() == Method::POST {
        return hear(shared, request).await;
    }
    if path != shared.image_path {
        return plain(StatusCode::NOT_FOUND);
    }
    let is_head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => return plain(StatusCode::METHOD_NOT_ALLOWED),
    };
    let total = shared.image.len();
    let asked = request.headers().get(RANGE);
    let range = asked.and_then(|range| of_range(range.to_str().ok()?, total));
    let (status, part) = match range {
        None => (StatusCode::OK, 0..total),
        Some(Some(part)) => (StatusCode::PARTIAL_CONTENT, part),
        Some(None) => {
            let mut answer = plain(StatusCode::RANGE_NOT_SATISFIABLE);
            put(&mut answer, CONTENT_RANGE, &format!("bytes */{total}"));
            return answer;
        }
    };
    let body = if is_head {
        Bytes::new()
    } else {
        shared.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
        shared.image.slice(part.clone())
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    put(&mut answer, CONTENT_TYPE, "application/octet-stream");
    put(&mut answer, ACCEPT_RANGES, "bytes");
    put(&mut answer, CONTENT_LENGTH, &part.len().to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = part.end.saturating_sub(1);
        put(
            &mut answer,
            CONTENT_RANGE,
            &format!("bytes {}-{last}/{total}", part.start),
        );
    }
    answer
}

/// The part of the image that is asked for (RFC 9110, 14.1). Nothing when that is to be passed over; no part when there
/// is none such. Of several parts all is sent.
#[expect(
    clippy::option_option,
    reason = "a range that is passed over is another thing than one that there is not"
)]
fn of_range(field: &str, total: usize) -> Option<Option<std::ops::Range<usize>>> {
    let (first, last) = field.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let part = match (first.trim(), last.trim()) {
        ("", suffix) => total.saturating_sub(number(suffix)?)..total,
        (first, "") => number(first)?..total,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(total),
    };
    Some((part.start < part.end).then_some(part))
}

/// Hears the installer.
async fn hear(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), TOLD_BYTES_MAX);
    let Ok(body) = body.collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let text = String::from_utf8_lossy(&body.to_bytes())
        .chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect::<String>();
    shared.told.send_modify(|told| {
        if told.len() < TOLD_BYTES_MAX {
            if !told.is_empty() {
                told.push('\n');
            }
            told.push_str(text.trim_end());
        }
    });
    plain(StatusCode::NO_CONTENT)
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn put(answer: &mut Response<Full<Bytes>>, name: hyper::header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
