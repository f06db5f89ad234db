//! One exchange with a management controller.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use lb_client::Distrust;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::error::RedfishError;
use super::Client;
use super::answer::Answer;

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// For how long an answer is waited for. Controllers are slow, and some fetch a whole CD before they answer.
const ANSWER: Duration = Duration::from_secs(90);

const CONNECT: Duration = Duration::from_secs(10);

impl Client {
    pub(super) async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, RedfishError> {
        let sender = self.open().await?;
        match timeout(ANSWER, self.exchange(sender, method, path, body, etag)).await {
            Ok(answer) => answer.map_err(|why| self.not_redfish(why)),
            Err(_) => Err(RedfishError::NoAnswer {
                controller: self.controller.clone(),
                seconds: ANSWER.as_secs(),
            }),
        }
    }

    async fn open(&self) -> Result<http1::SendRequest<Full<Bytes>>, RedfishError> {
        let opened = timeout(CONNECT, async {
            let bare = self.host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((bare, self.port)).await?;
            match &self.tls {
                Some(tls) => begin(tls.begin(&self.host, stream).await?).await,
                None => begin(stream).await,
            }
        });
        let failed = |source| match Distrust::of(&source) {
            Some(source) => RedfishError::Distrusted {
                controller: self.controller.clone(),
                source,
            },
            None => RedfishError::Connect {
                controller: self.controller.clone(),
                source,
            },
        };
        match opened.await {
            Ok(opened) => opened.map_err(failed),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn exchange(
        &self,
        mut sender: http1::SendRequest<Full<Bytes>>,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, String> {
        let words = |error: &dyn std::error::Error| error.to_string();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(ACCEPT, "application/json")
            .header("OData-Version", "4.0")
            .header(AUTHORIZATION, self.authorization.clone());
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(etag) = etag {
            request = request.header(IF_MATCH, etag);
        }
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| words(&error))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| words(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Answer::new(&head, &body))
    }
}

async fn begin<S>(stream: S) -> io::Result<http1::SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told by the sender.
        drop(connection.await);
    });
    Ok(sender)
}
