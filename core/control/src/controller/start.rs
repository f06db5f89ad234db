//! From what is on the disk to a running controller.

use std::io;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, RwLock};

use lb_model::api::{Revision, Source};
use lb_model::{Config, ValidConfig, validate};

use super::judge::judge;
use super::work::{Worker, entry, has_passed};
use super::{Controller, Current, Options, Shared, WAITING_MAX, Wanted};
use crate::disk::{Disk, Machine, replace};
use crate::event::Events;
use crate::store::{NewRevision, Store};
use crate::{Audit, Caller, Change, Digest, Engine, Proposal, RevisionRecord, StoreError};

/// The directory of revisions, in the state directory.
const REVISIONS: &str = "revisions";

/// What remembers the file that was taken last, in the state directory.
const FILE_DIGEST: &str = "document.sha256";

/// A controller that has read its history and serves nothing yet.
pub struct Starting {
    options: Options,
    store: Arc<Store>,
    current: Option<Arc<Current>>,
    /// What is to be stored when the engine serves it.
    new: Vec<NewRevision>,
    /// The revision that nobody confirmed in time, before this start.
    unconfirmed: Option<Arc<Current>>,
}

/// Why a controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its thread.
    #[error("the thread that makes changes cannot start")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// What to do, when there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.help(),
            Self::Thread(_) => None,
        }
    }
}

impl Starting {
    /// Reads the history in the state directory: what was in force comes into force again, unless
    /// nobody has confirmed it in time.
    pub fn open(options: Options) -> Result<Self, StartError> {
        let directory = options.state_dir.join(REVISIONS);
        let disk = Arc::clone(&options.disk);
        let store = Store::open(disk, directory, options.retention)?;
        for error in store.damaged() {
            tracing::error!(%error, help = error.help(), "a revision is damaged");
        }
        let mut starting = Self {
            store: Arc::new(store),
            options,
            current: None,
            new: Vec::new(),
            unconfirmed: None,
        };
        if let Some((_, newest)) = starting.store.bounds()
            && let Some((record, config)) = starting.store.document(newest)?
        {
            let current = Arc::new(Current::new(record, Arc::new(config)));
            starting.current = Some(Arc::clone(&current));
            if has_passed(current.revision.confirm_until, (starting.options.clock)()) {
                starting.revert(&current);
            }
        }
        Ok(starting)
    }

    /// What will be served. Without any revision, that is a document that says nothing.
    pub fn current(&mut self) -> Arc<Current> {
        if self.current.is_none() {
            let comment = "there was no document".to_owned();
            self.take(empty(), "lbctl", Some(comment));
        }
        self.current.clone().unwrap_or_else(nothing)
    }

    /// Takes this document; a revision with it is stored when an engine serves it. A document that
    /// is in force already makes none.
    pub fn take(&mut self, config: Arc<ValidConfig>, author: &str, comment: Option<String>) {
        let proposal = Proposal {
            author: Caller::administrator(author),
            source: Source::File,
            comment,
            change: Change::Rollback(0),
            parent: None,
            expected: Vec::new(),
            confirm: None,
        };
        self.add(&proposal, config);
    }

    /// Stores what is new, and begins to take proposals. The engine serves what is
    /// [`current`](Self::current).
    pub fn run<E: Engine>(
        mut self,
        engine: E,
        audit: Arc<Audit>,
    ) -> Result<Controller<E>, StartError> {
        let mut stored = self.current();
        if let Err(error) = self.store.append(&self.new) {
            // Without room it still must not serve what nobody confirmed: it is stored later.
            let Some(unconfirmed) = self.unconfirmed else {
                return Err(error.into());
            };
            tracing::error!(%error, help = error.help(), "what is served again cannot be stored yet");
            stored = unconfirmed;
        }
        audit.add(&self.new.iter().map(entry).collect::<Vec<_>>());
        self.store.forget(&stored.record);
        let shared = Arc::new(Shared {
            engine,
            store: self.store,
            current: RwLock::new(stored),
            events: Events::new(),
            audit,
            clock: self.options.clock,
            options: self.options,
        });
        let (queue, messages) = sync_channel(WAITING_MAX);
        let worker = Worker::new(Arc::clone(&shared), messages);
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                crate::background::step_back();
                worker.run();
            })
            .map_err(StartError::Thread)?;
        Ok(Controller {
            shared,
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    fn revert(&mut self, current: &Arc<Current>) {
        match super::work::reverting(&self.store, current) {
            Ok((proposal, config)) => {
                self.add(&proposal, config);
                self.unconfirmed = Some(Arc::clone(current));
                let number = current.number;
                tracing::warn!(
                    unconfirmed = number,
                    "nobody confirmed a change in time; it is taken back"
                );
            }
            // There is nothing to go back to: better this than nothing.
            Err(error) => {
                tracing::error!(%error, help = error.help(), "a change that nobody confirmed cannot be taken back");
            }
        }
    }

    fn add(&mut self, proposal: &Proposal, config: Arc<ValidConfig>) {
        let base = self.current.clone().unwrap_or_else(nothing);
        let number = self.store.next_number() + self.new.len() as u64;
        let now = (self.options.clock)();
        match judge(proposal, &Wanted::Document(config), &base, number, now) {
            Ok(Some(next)) => {
                self.new.push(next.revision);
                self.current = Some(Arc::new(next.current));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the document is not taken"),
        }
    }
}

/// Whether this state directory holds revisions.
pub fn has_history(state_dir: &Path) -> bool {
    let entries = Machine.list(&state_dir.join(REVISIONS));
    entries.is_ok_and(|names| names.iter().any(|name| Store::is_revision(name)))
}

/// The digest of the file that was taken last, as this state directory remembers it.
pub fn file_digest(state_dir: &Path) -> Option<Digest> {
    let text = Machine.read(&state_dir.join(FILE_DIGEST), 128).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// What comes before the first revision.
fn nothing() -> Arc<Current> {
    let config = empty();
    let revision = Revision {
        number: 0,
        parent: None,
        made_at: lb_model::api::Timestamp::from_unix_millis(0),
        author: String::new(),
        source: Source::File,
        comment: None,
        summary: String::new(),
        confirm_until: None,
    };
    let record = RevisionRecord {
        revision,
        digest: Digest::of(b""),
        document_bytes: 0,
    };
    Arc::new(Current::new(Arc::new(record), config))
}

/// A document that says nothing.
fn empty() -> Arc<ValidConfig> {
    Arc::new(validate(Config::default()).expect("a document that says nothing contradicts nothing"))
}

impl<E: Engine> Controller<E> {
    /// Remembers the file that was taken last, so that a start knows whether it has changed since.
    pub fn remember_file(&self, digest: Digest) -> io::Result<()> {
        let Options {
            state_dir, disk, ..
        } = &self.shared.options;
        let text = format!("{digest}\n");
        replace(&**disk, &state_dir.join(FILE_DIGEST), text.as_bytes())
    }
}
