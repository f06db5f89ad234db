//! One request: what is sent, what may come back, and when it may be sent again.

use std::time::Duration;

use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use lb_model::api::{ErrorAnswer, ErrorCode};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::connection::{self, Connection};
use crate::error::{ClientError, Refusal};

/// The most bytes of an answer; the largest document takes 8 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a whole answer may take. An apply waits for disks.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// The most connections that are kept: as many as Terraform has requests at a time.
const IDLE_MAX: usize = 10;

/// How long to wait before each further try.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// The way to one balancer.
pub(crate) struct Way {
    pub(crate) address: Address,
    /// What connects with TLS, where that is used.
    pub(crate) connector: Option<TlsConnector>,
    /// The `Authorization` of every request; marked sensitive, so that nothing prints it.
    pub(crate) authorization: Option<HeaderValue>,
    /// Connections that wait for their next request, the one used last at the end.
    pub(crate) idle: Mutex<Vec<Connection>>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: Uri,
    pub(crate) body: Option<Bytes>,
    pub(crate) content_type: &'static str,
    pub(crate) accept: &'static str,
    /// The field that says what must still be true.
    pub(crate) guard: Option<(HeaderName, HeaderValue)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Bytes,
    pub(crate) etag: Option<String>,
}

/// Why a try failed, and whether another may follow.
struct Failed {
    error: ClientError,
    again: bool,
}

impl Call {
    /// Reads what is at a path, with everything in it escaped that needs it.
    pub(crate) fn get(target: &str) -> Result<Self, ClientError> {
        let unspeakable = |_| ClientError::Unspeakable(target.to_owned());
        Ok(Self {
            method: Method::GET,
            target: target.parse().map_err(unspeakable)?,
            body: None,
            content_type: "application/json",
            accept: "application/json",
            guard: None,
        })
    }

    pub(crate) fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Whether asking twice does no more than asking once.
    fn only_reads(&self) -> bool {
        self.method == Method::GET
    }
}

impl Way {
    /// Asks, again where that is safe, and gives the whole answer.
    pub(crate) async fn ask(&self, call: &Call) -> Result<Reply, ClientError> {
        let mut pauses = PAUSES.iter();
        loop {
            let tried = match timeout(ANSWER_TIMEOUT, self.try_ask(call)).await {
                Ok(tried) => tried,
                Err(_) => Err(Failed {
                    error: ClientError::TimedOut {
                        address: self.address.clone(),
                        may_be_done: !call.only_reads(),
                        after: ANSWER_TIMEOUT,
                    },
                    again: false,
                }),
            };
            match (tried, pauses.next()) {
                (Ok(reply), _) => return Ok(reply),
                (Err(Failed { again: true, .. }), Some(pause)) => sleep(*pause).await,
                (Err(failed), _) => return Err(failed.error),
            }
        }
    }

    async fn try_ask(&self, call: &Call) -> Result<Reply, Failed> {
        let (response, connection) = self.send(call).await?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Err(self.broken(call, error)),
        };
        let mut idle = self.idle.lock().await;
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        drop(idle);
        let etag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let etag = etag.map(str::to_owned);
        if head.status.is_success() {
            return Ok(Reply { body, etag });
        }
        Err(self.refused(head.status, &body))
    }

    /// Sends a request, and gives the answer as soon as its head is there, with the connection that
    /// carries it.
    pub(crate) async fn begin(
        &self,
        call: &Call,
    ) -> Result<(Response<Incoming>, Connection), ClientError> {
        let sent = timeout(ANSWER_TIMEOUT, self.send(call)).await;
        let (response, connection) = match sent {
            Ok(sent) => sent.map_err(|failed| failed.error)?,
            Err(_) => {
                return Err(ClientError::TimedOut {
                    address: self.address.clone(),
                    may_be_done: false,
                    after: ANSWER_TIMEOUT,
                });
            }
        };
        if response.status().is_success() {
            return Ok((response, connection));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map(Collected::to_bytes);
        Err(self.refused(status, &body.unwrap_or_default()).error)
    }

    async fn send(&self, call: &Call) -> Result<(Response<Incoming>, Connection), Failed> {
        let kept = self.idle.lock().await.pop();
        if let Some(mut connection) = kept
            && connection.ready().await.is_ok()
        {
            match connection.try_send_request(self.request(call)).await {
                Ok(response) => return Ok((response, connection)),
                // The balancer closed the idle connection; nothing of the request was sent.
                Err(mut error) => {
                    if error.take_message().is_none() {
                        return Err(self.lost(call, error.into_error()));
                    }
                }
            }
        }
        let opened = connection::open(&self.address, self.connector.as_ref()).await;
        let mut connection = opened.map_err(|error| Failed {
            error,
            again: false,
        })?;
        let sent = connection.send_request(self.request(call)).await;
        match sent {
            Ok(response) => Ok((response, connection)),
            Err(error) => Err(self.lost(call, error)),
        }
    }

    fn request(&self, call: &Call) -> Request<Full<Bytes>> {
        let body = Full::new(call.body.clone().unwrap_or_default());
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.target.clone();
        let headers = request.headers_mut();
        let host = match &self.address {
            Address::Unix(_) => "lbctl".to_owned(),
            Address::Tls { host, port } => format!("{host}:{port}"),
        };
        let host = HeaderValue::from_str(&host);
        headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("lbctl")));
        headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some((name, value)) = &call.guard {
            headers.insert(name.clone(), value.clone());
        }
        request
    }

    fn lost(&self, call: &Call, source: hyper::Error) -> Failed {
        Failed {
            error: ClientError::Lost {
                address: self.address.clone(),
                may_be_done: !call.only_reads(),
                source,
            },
            again: call.only_reads(),
        }
    }

    fn broken(&self, call: &Call, error: Box<dyn std::error::Error + Send + Sync>) -> Failed {
        match error.downcast::<hyper::Error>() {
            Ok(error) => self.lost(call, *error),
            Err(_) => Failed {
                error: self.not_ours(format!("an answer larger than {ANSWER_BYTES_MAX} bytes")),
                again: false,
            },
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failed {
        match serde_json::from_slice::<ErrorAnswer>(body) {
            Ok(answer) => Failed {
                again: answer.error.code == ErrorCode::Busy,
                error: ClientError::Refused(Box::new(Refusal {
                    status: status.as_u16(),
                    error: answer.error,
                })),
            },
            Err(_) => Failed {
                error: self.not_ours(format!("status {status} without a reason")),
                again: false,
            },
        }
    }

    pub(crate) fn not_ours(&self, reason: impl Into<String>) -> ClientError {
        ClientError::NotOurs {
            address: self.address.clone(),
            reason: reason.into(),
        }
    }
}
