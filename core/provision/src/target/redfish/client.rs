//! One exchange with a management controller: JSON over HTTP, with the name and the password of a user (Redfish,
//! DSP0266).

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_MATCH, LOCATION,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use lb_client::{Distrust, Tls, Trust};
use lb_model::fleet::RedfishTarget;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::error::RedfishError;

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// For how long an answer is waited for. Controllers are slow, and some fetch a whole CD before they answer.
const ANSWER: Duration = Duration::from_secs(90);

const CONNECT: Duration = Duration::from_secs(10);

/// For how long a task of the controller may take.
const TASK: Duration = Duration::from_mins(5);

const PAUSE: Duration = Duration::from_millis(500);

/// How often something that only reads is tried.
const TRIES: u32 = 3;

/// The way to a controller.
pub(super) struct Client {
    controller: String,
    user: String,
    host: String,
    port: u16,
    /// What stands before every path, where the controller is behind something else.
    prefix: String,
    tls: Option<Tls>,
    /// Marked sensitive, so that nothing prints it.
    authorization: HeaderValue,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Value,
    pub(super) etag: Option<String>,
    status: StatusCode,
    location: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(target: &RedfishTarget, password: &str) -> Result<Self, RedfishError> {
        let controller = target.controller.as_str();
        let url = || RedfishError::Url(controller.to_owned());
        let parsed: Uri = controller.parse().map_err(|_| url())?;
        let is_plain = parsed.scheme_str() == Some("http");
        let tls = if is_plain {
            None
        } else {
            let trust = target.fingerprint.map_or(Trust::System, Trust::Fingerprint);
            Some(Tls::new(&trust)?)
        };
        let pair = format!("{}:{password}", target.user.as_str());
        let authorization = format!("Basic {}", STANDARD.encode(pair));
        let mut authorization = HeaderValue::from_str(&authorization).map_err(|_| url())?;
        authorization.set_sensitive(true);
        let default = if is_plain { 80 } else { 443 };
        Ok(Self {
            controller: controller.to_owned(),
            user: target.user.to_string(),
            host: parsed.host().ok_or_else(url)?.to_owned(),
            port: parsed.port_u16().unwrap_or(default),
            prefix: parsed.path().trim_end_matches('/').to_owned(),
            tls,
            authorization,
        })
    }

    /// Reads something, again when the controller is busy or does not answer.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, RedfishError> {
        let mut tries = 1;
        loop {
            match self.once(&Method::GET, path, None, None).await {
                Err(error) if error.is_passing() && tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    /// Has the controller do something, and waits until it is done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<(), RedfishError> {
        let answer = self.once(&Method::POST, path, Some(body), None).await?;
        self.done(path, answer).await
    }

    /// Changes something. Some controllers only do so when they are told which version is changed.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<(), RedfishError> {
        let etag = self.get(path).await?.etag;
        let etag = etag.as_deref();
        let answer = match self.once(&Method::PATCH, path, Some(body), etag).await {
            // The version is one that the controller takes back as a weak one, or not at all.
            Err(RedfishError::Refused { status: 412, .. }) if etag.is_some() => {
                self.once(&Method::PATCH, path, Some(body), Some("*"))
                    .await?
            }
            answer => answer?,
        };
        self.done(path, answer).await
    }

    /// Waits for a task, when the answer names one (DSP0266, 9.11).
    async fn done(&self, path: &str, answer: Answer) -> Result<(), RedfishError> {
        let Some(monitor) = answer
            .location
            .filter(|_| answer.status == StatusCode::ACCEPTED)
        else {
            return Ok(());
        };
        let monitor = self.path_of(&monitor);
        let until = Instant::now() + TASK;
        loop {
            let task = self.get(&monitor).await?;
            let state = task.body["TaskState"].as_str().unwrap_or_default();
            match state {
                "Exception" | "Killed" | "Cancelled" => {
                    return Err(RedfishError::Refused {
                        what: format!("POST {path}"),
                        status: 200,
                        told: told(&task.body),
                    });
                }
                _ if task.status != StatusCode::ACCEPTED
                    && !matches!(state, "New" | "Starting" | "Running" | "Pending") =>
                {
                    return Ok(());
                }
                _ if Instant::now() >= until => {
                    return Err(RedfishError::NoAnswer {
                        controller: self.controller.clone(),
                        seconds: TASK.as_secs(),
                    });
                }
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// The path of a URL that the controller gives.
    fn path_of(&self, url: &str) -> String {
        let uri: Option<Uri> = url.parse().ok();
        let path = uri.and_then(|uri| uri.path_and_query().map(ToString::to_string));
        let path = path.unwrap_or_else(|| url.to_owned());
        path.strip_prefix(&self.prefix).unwrap_or(&path).to_owned()
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, RedfishError> {
        let sender = self.open().await?;
        let no_answer = || RedfishError::NoAnswer {
            controller: self.controller.clone(),
            seconds: ANSWER.as_secs(),
        };
        let exchanged = timeout(ANSWER, self.exchange(sender, method, path, body, etag)).await;
        let answer = match exchanged {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => {
                return Err(RedfishError::NotRedfish {
                    controller: self.controller.clone(),
                    why,
                });
            }
            Err(_) => return Err(no_answer()),
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        if matches!(answer.status.as_u16(), 401 | 403) {
            return Err(RedfishError::Unauthorized {
                controller: self.controller.clone(),
                user: self.user.clone(),
            });
        }
        Err(RedfishError::Refused {
            what: format!("{method} {path}"),
            status: answer.status.as_u16(),
            told: told(&answer.body),
        })
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
        let field = |name| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (status, etag, location) = (answer.status(), field(ETAG), field(LOCATION));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        let value = serde_json::from_slice(&body);
        if value.is_err() && status.is_success() && *method == Method::GET {
            return Err(format!("{path} is no JSON"));
        }
        Ok(Answer {
            body: value.unwrap_or(Value::Null),
            etag,
            status,
            location,
        })
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

/// What a controller says of why it refuses (DSP0266, 8.6), in one line.
fn told(body: &Value) -> String {
    let error = &body["error"];
    let extended = error["@Message.ExtendedInfo"].as_array();
    let messages = extended.or_else(|| body["Messages"].as_array());
    let mut words: Vec<&str> = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message["Message"].as_str())
        .collect();
    if words.is_empty() {
        words.extend(error["message"].as_str());
    }
    let text = words.join(" ").replace(['\n', '\r'], " ");
    text.chars().take(500).collect()
}
