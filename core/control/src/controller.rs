//! The one place through which a running balancer changes.
//!
//! Whoever wants a change waits in a queue; one thread takes all that wait, judges them in order,
//! stores them together and has the engine serve the last of them. Nobody gets an answer before the
//! disk has its revision. Readers never wait for it.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use lb_model::api::{EventKind, Revision, Source};
use lb_model::edit::Edit;
use lb_model::plan::Plan;
use lb_model::{Config, ValidConfig, validate};

use crate::audit::NewEntry;
use crate::disk::{Disk, Machine};
use crate::event::Events;
use crate::store::{Retention, Store};
use crate::{
    Applied, Audit, Caller, Change, Clock, Engine, Planned, Proposal, Refused, RevisionRecord,
    StoreError, Subscription,
};

mod judge;
mod narrow;
mod start;
#[cfg(test)]
mod tests;
mod work;

use narrow::edited;
pub use start::{StartError, Starting, file_digest, has_history};
use work::Message;

/// How many proposals wait at a time.
const WAITING_MAX: usize = 256;

/// The longest that a change may wait to be confirmed.
pub const CONFIRM_MAX: Duration = Duration::from_hours(24);

/// Changes a running balancer, and knows its history.
pub struct Controller<E> {
    shared: Arc<Shared<E>>,
    queue: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Current {
    /// The number of its revision.
    pub number: u64,
    /// How it came to be.
    pub revision: Revision,
    /// The document.
    pub config: Arc<ValidConfig>,
    pub(crate) record: Arc<RevisionRecord>,
}

/// What the thread that makes changes and everybody else know.
pub(crate) struct Shared<E> {
    engine: E,
    store: Arc<Store>,
    current: RwLock<Arc<Current>>,
    events: Events,
    audit: Arc<Audit>,
    clock: Clock,
    options: Options,
}

/// Where and how a controller keeps its history.
#[derive(Clone)]
pub struct Options {
    /// The state directory.
    pub state_dir: PathBuf,
    /// How much history is kept.
    pub retention: Retention,
    /// Tells the time.
    pub clock: Clock,
    /// How often it is looked whether files that the document names have changed.
    pub refresh_every: Duration,
    pub(crate) disk: Arc<dyn Disk>,
}

/// What is wanted, as far as it can be said before it is its turn.
pub(crate) enum Wanted {
    Document(Arc<ValidConfig>),
    Edits(Vec<Edit>),
}

impl Options {
    /// A history in this state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            retention: Retention::default(),
            clock: crate::now,
            refresh_every: Duration::from_mins(1),
            disk: Arc::new(Machine),
        }
    }
}

impl Current {
    pub(crate) fn new(record: Arc<RevisionRecord>, config: Arc<ValidConfig>) -> Self {
        Self {
            number: record.number(),
            revision: record.revision.clone(),
            config,
            record,
        }
    }
}

impl<E: Engine> Controller<E> {
    /// What is in force.
    pub fn current(&self) -> Arc<Current> {
        self.shared.current()
    }

    /// The data plane.
    pub fn engine(&self) -> &E {
        &self.shared.engine
    }

    /// What a proposal would do, without doing it. What takes more than looking, such as whether an
    /// address is free, is only known when it is done.
    pub fn plan(&self, proposal: &Proposal) -> Result<Planned, Refused> {
        let current = self.current();
        judge::still_true(proposal, &current)?;
        let after = match &proposal.change {
            Change::Edits(edits) => {
                let config = edited(current.config.config(), edits).map_err(Refused::Invalid)?;
                self.document(config)?
            }
            Change::Document(config) => self.document((**config).clone())?,
            Change::Rollback(number) => self.shared.document(*number)?,
        };
        self.shared.engine.judge(&after).map_err(Refused::Engine)?;
        Ok(Planned {
            parent: current.number,
            plan: Plan::between(current.config.config(), after.config()),
            warnings: after.warnings().to_vec(),
        })
    }

    /// Makes a change, and waits until it is durable and served.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub fn apply(&self, proposal: Proposal) -> Result<Applied, Refused> {
        let author = proposal.author.clone();
        let applied = self.wanted(proposal).and_then(|(wanted, proposal)| {
            self.ask(|answer| Message::Apply {
                wanted,
                proposal: Box::new(proposal),
                answer,
            })
        });
        applied.inspect_err(|refused| self.shared.note_refusal(&author, "apply", refused))
    }

    /// Keeps a change that would be taken back otherwise.
    pub fn confirm(&self, number: u64, author: &Caller) -> Result<Revision, Refused> {
        let confirmed = self.ask(|answer| Message::Confirm {
            number,
            author: author.clone(),
            answer,
        });
        confirmed.inspect_err(|refused| self.shared.note_refusal(author, "confirm", refused))
    }

    /// Writes down what was done that is no change of the document.
    pub(crate) fn note(&self, author: &Caller, action: &'static str, detail: String) {
        self.shared.audit.add(&[NewEntry {
            author: author.name.clone(),
            action,
            detail: Some(detail),
            ..NewEntry::default()
        }]);
    }

    /// Looks now whether files that the document names have changed, and waits until they are served.
    pub fn refresh(&self) -> Result<(), Refused> {
        self.ask(|answer| Message::Refresh { answer })
    }

    /// Revisions with lower numbers than this, the newest first.
    pub fn revisions(&self, before: Option<u64>, count_max: usize) -> Vec<Revision> {
        let records = self.shared.store.records(before, count_max);
        records
            .iter()
            .map(|record| record.revision.clone())
            .collect()
    }

    /// One revision with its document.
    pub fn revision(&self, number: u64) -> Result<(Revision, Config), Refused> {
        let current = self.current();
        if current.number == number {
            return Ok((current.revision.clone(), current.config.config().clone()));
        }
        let config = self.shared.document(number)?;
        let record = self.shared.store.record(number);
        let record = record.ok_or_else(|| self.shared.no_revision(number))?;
        Ok((record.revision.clone(), config.config().clone()))
    }

    /// The revisions that cannot be used, with what is wrong with them.
    pub fn damaged(&self) -> Vec<StoreError> {
        self.shared.store.damaged()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Subscription {
        self.shared.events.subscribe(self.shared.clock)
    }

    /// What takes long and needs no turn is done by whoever proposes it.
    fn wanted(&self, mut proposal: Proposal) -> Result<(Wanted, Proposal), Refused> {
        let change = std::mem::replace(&mut proposal.change, Change::Rollback(0));
        let wanted = match change {
            Change::Document(config) => Wanted::Document(self.document(*config)?),
            Change::Edits(edits) => Wanted::Edits(edits),
            Change::Rollback(number) => {
                let comment = || format!("back to revision {number}");
                proposal.comment.get_or_insert_with(comment);
                proposal.source = Source::Rollback;
                Wanted::Document(self.shared.document(number)?)
            }
        };
        Ok((wanted, proposal))
    }

    fn document(&self, config: Config) -> Result<Arc<ValidConfig>, Refused> {
        let current = self.current();
        if config == *current.config.config() {
            return Ok(Arc::clone(&current.config));
        }
        validate(config).map(Arc::new).map_err(Refused::Invalid)
    }

    fn ask<T>(
        &self,
        message: impl FnOnce(SyncSender<Result<T, Refused>>) -> Message,
    ) -> Result<T, Refused> {
        let (answer, answered) = sync_channel(1);
        let queue = self.queue.as_ref().ok_or(Refused::Stopping)?;
        queue
            .try_send(message(answer))
            .map_err(|error| match error {
                TrySendError::Full(_) => Refused::Busy(WAITING_MAX),
                TrySendError::Disconnected(_) => Refused::Stopping,
            })?;
        // The thread answers everybody; without an answer it is gone.
        answered.recv().unwrap_or(Err(Refused::Stopping))
    }
}

impl<E> Drop for Controller<E> {
    fn drop(&mut self) {
        // Without senders the thread finishes what waits, and ends.
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl<E: Engine> Shared<E> {
    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_current(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current);
    }

    fn document(&self, number: u64) -> Result<Arc<ValidConfig>, Refused> {
        match self.store.document(number)? {
            Some((_, config)) => Ok(Arc::new(config)),
            None => Err(self.no_revision(number)),
        }
    }

    fn no_revision(&self, number: u64) -> Refused {
        let (oldest, newest) = self.store.bounds().unwrap_or_default();
        Refused::NoRevision {
            number,
            oldest,
            newest,
        }
    }

    fn note_refusal(&self, author: &Caller, action: &'static str, refused: &Refused) {
        let author = author.name.clone();
        let reason = refused.to_string();
        self.audit.add_refusal(&author, action, &reason);
        tracing::warn!(author, reason, "a change was refused");
        self.events
            .tell((self.clock)(), EventKind::Refused { author, reason });
    }
}
