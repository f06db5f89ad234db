//! The way to a management controller: JSON over HTTP, with the name and the password of a user (Redfish, DSP0266).

mod answer;
mod exchange;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode, Uri};
use lb_client::{Tls, Trust};
use lb_model::fleet::RedfishTarget;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::error::RedfishError;
use answer::Progress;
pub(super) use answer::{Answer, plain};

/// For how long a task of the controller may take.
const TASK: Duration = Duration::from_mins(5);

const PAUSE: Duration = Duration::from_millis(500);

/// How often something that only reads is tried.
const TRIES: u32 = 3;

/// For how long a controller may say that it is busy.
const BUSY: Duration = Duration::from_mins(1);

/// How often a controller may send on to another place.
const REDIRECTS_MAX: u32 = 4;

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
        self.ask(&Method::GET, path, None, None).await
    }

    /// Has the controller do something, and waits until it is done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<(), RedfishError> {
        let answer = self.ask(&Method::POST, path, Some(body), None).await?;
        self.done(&Method::POST, path, answer).await
    }

    /// Changes something. Some controllers only do so when they are told which version is changed.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<(), RedfishError> {
        let etag = self.get(path).await?.etag;
        let etag = etag.as_deref();
        let answer = match self.ask(&Method::PATCH, path, Some(body), etag).await {
            // The version is a weak one, which never matches (RFC 9110, 13.1.1); or one is demanded and none was given.
            Err(RedfishError::Refused {
                status: 412 | 428, ..
            }) => {
                self.ask(&Method::PATCH, path, Some(body), Some("*"))
                    .await?
            }
            answer => answer?,
        };
        self.done(&Method::PATCH, path, answer).await
    }

    /// Waits for a task, when the answer names one (DSP0266, "Asynchronous operations"): the task itself, or a monitor of
    /// it, which answers in the end as the controller would have done at once.
    async fn done(&self, method: &Method, path: &str, answer: Answer) -> Result<(), RedfishError> {
        let Some(monitor) = answer
            .location
            .filter(|_| answer.status == StatusCode::ACCEPTED)
        else {
            return Ok(());
        };
        let until = Instant::now() + TASK;
        let mut lost = 0;
        loop {
            let progress = match self.follow(&Method::GET, &monitor, None, None).await {
                Ok(task) => {
                    lost = 0;
                    task.progress()
                }
                // The result of a task is told once; so what it was is not asked for more often than it must be.
                Err(error) if error.is_passing() && lost < TRIES => {
                    lost += 1;
                    Progress::Runs(PAUSE)
                }
                Err(error) => return Err(error),
            };
            match progress {
                Progress::Done => return Ok(()),
                Progress::Failed { status, told } => {
                    return Err(RedfishError::Refused {
                        what: plain(&format!("{method} {path}")),
                        status,
                        told,
                    });
                }
                Progress::Runs(_) if Instant::now() >= until => {
                    return Err(RedfishError::NoAnswer {
                        controller: self.controller.clone(),
                        seconds: TASK.as_secs(),
                    });
                }
                Progress::Runs(pause) => sleep(pause).await,
            }
        }
    }

    /// The path of a URL that the controller gives.
    fn path_of(&self, url: &str) -> String {
        let uri: Option<Uri> = url.parse().ok();
        let path = uri.and_then(|uri| uri.path_and_query().map(ToString::to_string));
        let path = path.unwrap_or_else(|| url.to_owned());
        let below = path.strip_prefix(&self.prefix);
        let below = below.filter(|below| below.starts_with('/'));
        below.unwrap_or(&path).to_owned()
    }

    /// Whether a URL leads to this controller.
    fn is_here(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else {
            return false;
        };
        let Some(host) = uri.host() else {
            return true;
        };
        let is_plain = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        is_plain == self.tls.is_none() && host.eq_ignore_ascii_case(&self.host) && port == self.port
    }

    fn not_redfish(&self, why: String) -> RedfishError {
        RedfishError::NotRedfish {
            controller: self.controller.clone(),
            why,
        }
    }

    /// Asks for something until it is answered. What is busy has not done it, and is asked again; what gives no answer
    /// only when nothing is changed.
    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, RedfishError> {
        let until = Instant::now() + BUSY;
        let mut tries = if *method == Method::GET { TRIES } else { 1 };
        loop {
            let answer = self.follow(method, path, body, etag).await;
            let busy = answer.as_ref().ok().and_then(Answer::busy);
            let busy = busy.filter(|_| Instant::now() < until);
            match answer.and_then(|answer| self.judge(method, path, answer)) {
                Err(error) if busy.is_some() || error.is_passing() && tries > 1 => {
                    if busy.is_none() {
                        tries -= 1;
                    }
                    sleep(busy.unwrap_or(PAUSE)).await;
                }
                answered => return answered,
            }
        }
    }

    /// Asks once, there where the controller sends on to. Whoever has the password is not sent to another one.
    async fn follow(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, RedfishError> {
        let mut path = self.path_of(path);
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.once(method, &path, body, etag).await?;
            let Some(to) = answer.leads_to(method) else {
                return Ok(answer);
            };
            if !self.is_here(to) {
                return Err(self.not_redfish(format!("it sends on to {}", plain(to))));
            }
            path = self.path_of(to);
        }
        Err(self.not_redfish(format!("it sends on and on, at last to {}", plain(&path))))
    }

    /// An answer, unless it is a refusal.
    fn judge(&self, method: &Method, path: &str, answer: Answer) -> Result<Answer, RedfishError> {
        if answer.status.is_success() {
            if *method == Method::GET && answer.body.is_null() {
                return Err(self.not_redfish(format!("{} is no JSON", plain(path))));
            }
            return Ok(answer);
        }
        if matches!(answer.status.as_u16(), 401 | 403) {
            return Err(RedfishError::Unauthorized {
                controller: self.controller.clone(),
                user: self.user.clone(),
            });
        }
        Err(RedfishError::Refused {
            what: plain(&format!("{method} {path}")),
            status: answer.status.as_u16(),
            told: answer.told(),
        })
    }
}

#[cfg(test)]
mod tests;
