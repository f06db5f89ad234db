//! From a request to its answer: who asks, for what, whether they may, and then the work itself,
//! which waits for disks and therefore runs on threads of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use hyper::body::{Body, Bytes};
use lb_model::api::{ApiError, ErrorCode, Role, Scope};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Observable;
use super::answer::{self, Answer};
use super::attempts::{Attempts, Verdict};
use super::caller::{self, Peer};
use super::event::EventStream;
use super::handle::handle;
use super::request::{self, Ask};
use super::route::{self, Operation, Route};
use super::stop::Stopping;
use crate::{Access, Caller, Controller, Engine, NotGood, Secret};

/// How many requests read at a time.
pub(super) const READS_MAX: usize = 4;

/// How many requests change something at a time; they are made one after the other, and those that
/// wait are stored together.
pub(super) const CHANGES_MAX: usize = 16;

/// How many listen to events at a time. Together they leave most connections to others.
const LISTENERS_MAX: usize = 32;

/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// What answers requests.
pub(super) struct Service<E: Engine> {
    pub(super) controller: Arc<Controller<E>>,
    pub(super) access: Arc<Access>,
    reads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    attempts: Attempts,
    stopping: Stopping,
}

impl<E: Engine + Observable> Service<E> {
    pub(super) fn new(
        controller: Arc<Controller<E>>,
        access: Arc<Access>,
        stopping: Stopping,
    ) -> Self {
        Self {
            stopping,
            controller,
            access,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            changes: Arc::new(Semaphore::new(CHANGES_MAX)),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            attempts: Attempts::default(),
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(self: Arc<Self>, request: Request<B>, peer: Peer) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answered = self.try_answer(request, peer).await;
        answered.unwrap_or_else(answer::refused)
    }

    async fn try_answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: Peer,
    ) -> Result<Answer, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let headers = &head.headers;
        let bearer = caller::bearer(headers)?;
        let path = head.uri.path().to_owned();
        let found = route::find(&head.method, &path);
        // Nobody learns what there is who may not come in.
        let is_open = found.as_ref().is_ok_and(|(route, _)| route.is_open);
        let caller = if is_open {
            self.stranger(&peer)?
        } else {
            self.identify(bearer, &peer)?
        };
        let (route, segments) = found?;
        caller::authorise(&caller, route)
            .inspect_err(|refusal| self.note_refusal(&caller, route, &path, refusal))?;
        if route.operation == Operation::Events {
            let place = turn(&self.listeners).await?;
            let events =
                EventStream::start(self.controller.subscribe(), place, self.stopping.clone());
            return Ok(answer::stream(events));
        }
        let ask = Ask {
            route,
            path,
            segments,
            query: request::query(route, head.uri.query().unwrap_or_default())?,
            caller,
            bearer: bearer.map(Secret::received),
            condition: request::condition(headers)?,
            wants_toml: request::wants_toml(headers),
            is_toml: request::is_toml(headers),
            body: request::read_body(route, headers, body).await?,
        };
        let reads = only_reads(route);
        let place = turn(if reads { &self.reads } else { &self.changes }).await?;
        let done = tokio::task::spawn_blocking(move || {
            let given = handle(&self, &ask);
            drop(place);
            given
        });
        // Only a panic ends it without an answer.
        let lost = |_| ApiError::new(ErrorCode::Internal, "the request was not finished");
        Ok(answer::done(done.await.map_err(lost)??))
    }

    fn identify(&self, token: Option<&str>, peer: &Peer) -> Result<Caller, ApiError> {
        let identified = match (token, peer.certified()) {
            (Some(token), _) => self.access.identify(token),
            (None, Some(shown)) => self.access.certified(shown.user.as_ref()),
            (None, None) => return caller::without_token(peer),
        };
        identified.map_err(|why| self.refuse(&why, peer))
    }

    /// Whoever asks for the first token, and has none that would say who they are.
    fn stranger(&self, peer: &Peer) -> Result<Caller, ApiError> {
        let name = match peer.address() {
            Some(address) if self.attempts.is_over(address, Instant::now()) => {
                return Err(too_many_attempts());
            }
            Some(address) => format!("address {address}"),
            None => "nobody".to_owned(),
        };
        Ok(Caller {
            name,
            role: Role::View,
            scope: Scope::default(),
        })
    }

    /// Answers a token that is not good, and writes it down; not each one of very many.
    fn refuse(&self, why: &NotGood, peer: &Peer) -> ApiError {
        let refusal = ApiError::new(ErrorCode::Unauthorized, why.to_string()).help(why.help());
        let Some(address) = peer.address() else {
            return refusal;
        };
        let more = match self.attempts.note(address, Instant::now()) {
            Verdict::TooMany => return too_many_attempts(),
            Verdict::Last => "; more of them are not written down",
            Verdict::Heard => "",
        };
        tracing::warn!(%address, reason = %why, "a token or certificate was refused");
        self.access.note_stranger(address, &format!("{why}{more}"));
        refusal
    }

    fn note_refusal(&self, caller: &Caller, route: &Route, path: &str, refusal: &ApiError) {
        let needed = route.role;
        tracing::warn!(caller = caller.name, role = %caller.role, %needed, path, "refused");
        self.access
            .note_refusal(caller, &route.id, &refusal.message);
    }
}

fn too_many_attempts() -> ApiError {
    ApiError::new(
        ErrorCode::TooManyAttempts,
        "too many tokens that are not good came from this address",
    )
    .help("wait a minute, and use a token that is good")
}

/// Whether nothing is changed, and no disk is waited for.
fn only_reads(route: &Route) -> bool {
    route.method == hyper::Method::GET || route.operation == Operation::Explain
}

async fn turn(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let busy = || {
        ApiError::new(ErrorCode::Busy, "too many requests are being answered")
            .help("try again after a moment")
    };
    match timeout(TURN_TIMEOUT, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(busy()),
    }
}
