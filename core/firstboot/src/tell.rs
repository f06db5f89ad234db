//! Telling whoever waits for an installation how it goes. Nobody has to be there: the console says the same.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use lb_model::value::ApiUrl;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// For how long somebody is tried to be reached.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who is told.
#[derive(Debug)]
pub(crate) struct Listener {
    to: Uri,
    runtime: Runtime,
    /// Nobody answered the last time.
    is_deaf: bool,
}

impl Listener {
    pub(crate) fn new(url: &ApiUrl) -> Option<Self> {
        Some(Self {
            to: url.as_str().parse().ok()?,
            runtime: Builder::new_current_thread().enable_all().build().ok()?,
            is_deaf: false,
        })
    }

    /// Tells it. Where nobody answers, only what is `last` is tried again.
    pub(crate) fn tell(&mut self, text: &str, last: bool) {
        if self.is_deaf && !last {
            return;
        }
        let post = post(&self.to, text.to_owned());
        let told = self
            .runtime
            .block_on(async { timeout(PATIENCE, post).await });
        self.is_deaf = !matches!(told, Ok(Ok(())));
    }
}

async fn post(to: &Uri, text: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let host = to.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, to.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = to.path_and_query().map_or("/", |path| path.as_str());
    let authority = to.authority().map_or(host, |authority| authority.as_str());
    let request = Request::post(path)
        .header("Host", authority)
        .header("Content-Type", "text/plain; charset=utf-8")
        .body(Full::new(Bytes::from(text)))?;
    sender.send_request(request).await?;
    driver.abort();
    Ok(())
}
