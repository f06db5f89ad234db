//! From a request to its answer: who asks, for what, whether they may, and then the work itself,
//! which waits for disks and therefore runs on threads of its own.

use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Bytes};
use lb_model::api::{ApiError, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Observable;
use super::answer::{self, Answer};
use super::caller::{self, Peer};
use super::event::EventStream;
use super::handle::handle;
use super::request::{self, Ask};
use super::route::{self, Operation, Route};
use super::stop::Stopping;
use crate::{Access, Caller, Controller, Engine};

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
        let caller = self.identify(caller::bearer(headers)?, peer)?;
        let path = head.uri.path().to_owned();
        let (route, segments) = route::find(&head.method, &path)?;
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

    fn identify(&self, token: Option<&str>, peer: Peer) -> Result<Caller, ApiError> {
        match token {
            None => caller::without_token(peer),
            Some(token) => self.access.identify(token).ok_or_else(|| {
                ApiError::new(
                    ErrorCode::Unauthorized,
                    "the token is not known, or has expired",
                )
                .help("an administrator makes one with `lbctl token create`")
            }),
        }
    }

    fn note_refusal(&self, caller: &Caller, route: &Route, path: &str, refusal: &ApiError) {
        let needed = route.role;
        tracing::warn!(caller = caller.name, role = %caller.role, %needed, path, "refused");
        self.access
            .note_refusal(caller, &route.id, &refusal.message);
    }
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
