//! The thread that makes changes, one group after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use lb_model::ValidConfig;
use lb_model::api::{EventKind, Revision, Source, Timestamp};
use lb_model::plan::Plan;
use lb_model::value::Name;

use super::judge::judge;
use super::{Current, Shared, Wanted};
use crate::audit::NewEntry;
use crate::store::{NewRevision, Store};
use crate::{
    Applied, Caller, Change, Engine, Proposal, Refused, RevisionRecord, ServerHealth, StoreError,
};

/// How many proposals are stored together at most.
const GROUP_MAX: usize = 64;

/// How often servers are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before going back is tried again.
const REVERT_AGAIN: Duration = Duration::from_secs(5);

/// What the thread is asked to do.
pub(crate) enum Message {
    Apply {
        wanted: Wanted,
        proposal: Box<Proposal>,
        answer: SyncSender<Result<Applied, Refused>>,
    },
    Confirm {
        number: u64,
        author: Caller,
        answer: SyncSender<Result<Revision, Refused>>,
    },
    Refresh {
        answer: SyncSender<Result<(), Refused>>,
    },
}

/// A proposal whose turn it is.
struct Turn {
    wanted: Wanted,
    proposal: Box<Proposal>,
    answer: SyncSender<Result<Applied, Refused>>,
}

/// The thread.
pub(super) struct Worker<E> {
    shared: Arc<Shared<E>>,
    queue: Receiver<Message>,
    /// When the revision in force is taken back.
    revert_at: Option<Instant>,
    /// Whether what it came from is served already, and only could not be stored.
    is_back: bool,
    /// Whether each server was up.
    up: HashMap<(Name, Name), bool>,
    looked_at: Option<Instant>,
    refreshed_at: Instant,
}

impl<E: Engine> Worker<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, queue: Receiver<Message>) -> Self {
        let mut worker = Self {
            shared,
            queue,
            revert_at: None,
            is_back: false,
            up: HashMap::new(),
            looked_at: None,
            refreshed_at: Instant::now(),
        };
        worker.arm();
        worker
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn run(mut self) {
        // From here on it is told when a server goes down or comes up.
        self.look_at_servers();
        // What was left from before the start is read while nobody waits.
        let mut idle = true;
        loop {
            let wait = if idle { Duration::ZERO } else { self.wait() };
            match self.queue.recv_timeout(wait) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => idle = self.shared.store.check_another(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.revert_at.is_some_and(|at| at <= Instant::now()) {
                self.revert();
            }
            if self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                self.look_at_servers();
            }
            if self.refreshed_at.elapsed() >= self.shared.options.refresh_every {
                self.refresh();
            }
        }
    }

    fn wait(&self) -> Duration {
        let revert = self
            .revert_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        let refresh = self.shared.options.refresh_every;
        let refresh = refresh.saturating_sub(self.refreshed_at.elapsed());
        revert.unwrap_or(LOOK_EVERY).min(LOOK_EVERY).min(refresh)
    }

    /// Has the engine look at what the document names.
    fn refresh(&mut self) {
        self.refreshed_at = Instant::now();
        self.shared.engine.refresh(&self.shared.current().config);
    }

    /// Takes a message with all that wait behind it.
    fn take(&mut self, first: Message) {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Apply {
                    wanted,
                    proposal,
                    answer,
                } => group.push(Turn {
                    wanted,
                    proposal,
                    answer,
                }),
                Message::Confirm {
                    number,
                    author,
                    answer,
                } => {
                    self.make(std::mem::take(&mut group));
                    // Whoever asked may have gone.
                    drop(answer.send(self.confirm(number, &author)));
                }
                Message::Refresh { answer } => {
                    self.make(std::mem::take(&mut group));
                    self.refresh();
                    drop(answer.send(Ok(())));
                }
            }
            if group.len() < GROUP_MAX {
                next = self.queue.try_recv().ok();
            }
        }
        self.make(group);
    }

    /// Makes changes together; when they cannot be stored together, each by itself.
    fn make(&mut self, group: Vec<Turn>) {
        if group.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let now = (shared.clock)();
        let mut number = shared.store.next_number();
        let mut at = shared.current();
        let (mut revisions, mut outcomes) = (Vec::new(), Vec::new());
        let mut prepared = None;
        for turn in &group {
            let judged = judge(&turn.proposal, &turn.wanted, &at, number, now);
            let served = judged.and_then(|next| {
                let Some(next) = next else {
                    return Ok(None);
                };
                // Each is tried, also when another follows at once: what is in the history can be
                // served. One at a time: two would bind the same addresses.
                drop(prepared.take());
                let tried = shared.engine.prepare(&next.current.config);
                prepared = Some(tried.map_err(Refused::Engine)?);
                Ok(Some(next))
            });
            outcomes.push(served.map(|next| {
                let is_new = next.is_some();
                let mut plan = Plan::default();
                if let Some(next) = next {
                    revisions.push(next.revision);
                    at = Arc::new(next.current);
                    plan = next.plan;
                    number += 1;
                }
                Applied {
                    revision: at.revision.clone(),
                    is_new,
                    plan,
                    warnings: at.config.warnings().to_vec(),
                }
            }));
        }
        match self.carry_out(&revisions, &at, prepared) {
            Ok(()) => {
                for (turn, outcome) in group.into_iter().zip(outcomes) {
                    // Whoever asked may have gone.
                    drop(turn.answer.send(outcome));
                }
            }
            Err(refused) => match <[Turn; 1]>::try_from(group) {
                Ok([turn]) => drop(turn.answer.send(Err(refused))),
                Err(group) => group.into_iter().for_each(|turn| self.make(vec![turn])),
            },
        }
    }

    /// Stores revisions and serves the last of them, or leaves everything as it was.
    fn carry_out(
        &mut self,
        revisions: &[NewRevision],
        last: &Arc<Current>,
        prepared: Option<E::Prepared>,
    ) -> Result<(), Refused> {
        if revisions.is_empty() {
            return Ok(());
        }
        let shared = &self.shared;
        let prepared = match prepared {
            Some(prepared) => prepared,
            // One behind it could not be served.
            None => shared
                .engine
                .prepare(&last.config)
                .map_err(Refused::Engine)?,
        };
        shared.store.append(revisions)?;
        shared.engine.commit(prepared);
        shared.set_current(Current::clone(last));
        let entries: Vec<_> = revisions.iter().map(entry).collect();
        shared.audit.add(&entries);
        for NewRevision { record, .. } in revisions {
            let revision = record.revision.clone();
            tracing::info!(
                revision = revision.number,
                author = revision.author,
                source = revision.source.as_str(),
                summary = revision.summary,
                "applied"
            );
            if revision.source != Source::Revert {
                let at = revision.made_at;
                shared.events.tell(at, EventKind::Applied(revision));
            }
        }
        shared.store.forget(&last.record);
        self.arm();
        Ok(())
    }

    fn confirm(&mut self, number: u64, author: &Caller) -> Result<Revision, Refused> {
        let current = self.shared.current();
        let until = current.revision.confirm_until;
        // Too late is too late, also when it could not be taken back yet.
        if current.number != number || until.is_none() || has_passed(until, (self.shared.clock)()) {
            return Err(Refused::NotAwaiting { number });
        }
        let record = self.shared.store.confirm(&current.record)?;
        let revision = record.revision.clone();
        self.shared
            .set_current(Current::new(record, Arc::clone(&current.config)));
        self.revert_at = None;
        self.shared.audit.add(&[NewEntry {
            author: author.name.clone(),
            action: "confirm",
            revision: Some(number),
            ..NewEntry::default()
        }]);
        tracing::info!(revision = number, author = author.name, "confirmed");
        let now = (self.shared.clock)();
        self.shared
            .events
            .tell(now, EventKind::Confirmed(revision.clone()));
        Ok(revision)
    }

    /// Notes when what is in force is taken back.
    fn arm(&mut self) {
        let revision = &self.shared.current().revision;
        self.revert_at = revision.confirm_until.map(|until| {
            let now = (self.shared.clock)().unix_millis();
            let left = until.unix_millis().saturating_sub(now);
            // A clock that was set back must not make it wait longer than was wanted.
            let whole = until
                .unix_millis()
                .saturating_sub(revision.made_at.unix_millis());
            Instant::now() + Duration::from_millis(left.min(whole))
        });
    }

    /// Nobody confirmed what is in force: what it came from takes its place.
    fn revert(&mut self) {
        let current = self.shared.current();
        let unconfirmed = current.number;
        match self.try_revert(&current) {
            Ok(revision) => {
                tracing::warn!(
                    unconfirmed,
                    revision = revision.number,
                    "nobody confirmed a change in time; it is taken back"
                );
                let kind = EventKind::Reverted {
                    unconfirmed,
                    revision,
                };
                self.shared.events.tell((self.shared.clock)(), kind);
            }
            Err(error) => {
                let help = error.help();
                let again = REVERT_AGAIN.as_secs();
                tracing::error!(%error, help, unconfirmed, again, "a change that nobody confirmed cannot be taken back yet");
                self.revert_at = Some(Instant::now() + REVERT_AGAIN);
            }
        }
    }

    fn try_revert(&mut self, current: &Arc<Current>) -> Result<Revision, Refused> {
        let (proposal, config) = reverting(&self.shared.store, current)?;
        let now = (self.shared.clock)();
        let number = self.shared.store.next_number();
        let next = judge(&proposal, &Wanted::Document(config), current, number, now)?;
        let Some(next) = next else {
            return Err(Refused::NotAwaiting {
                number: current.number,
            });
        };
        let (revision, next) = (next.revision, Arc::new(next.current));
        let carried_out = self.carry_out(&[revision], &next, None);
        if let Err(Refused::Store(_)) = &carried_out
            && !self.is_back
        {
            // What nobody confirmed may be what fills the disk: it goes, and is stored later.
            let prepared = self
                .shared
                .engine
                .prepare(&next.config)
                .map_err(Refused::Engine)?;
            self.shared.engine.commit(prepared);
            self.is_back = true;
        }
        carried_out?;
        self.is_back = false;
        Ok(next.revision.clone())
    }

    fn look_at_servers(&mut self) {
        self.looked_at = Some(Instant::now());
        let shared = Arc::clone(&self.shared);
        let mut seen = HashMap::with_capacity(self.up.len());
        let now = (shared.clock)();
        let up = &self.up;
        shared.engine.servers(&mut |health| {
            let ServerHealth {
                pool,
                server,
                is_up,
            } = health;
            let key = (pool.clone(), server.clone());
            if up.get(&key).is_some_and(|was_up| *was_up != is_up) {
                let (pool, server) = key.clone();
                shared.events.tell(
                    now,
                    if is_up {
                        EventKind::ServerUp { pool, server }
                    } else {
                        EventKind::ServerDown { pool, server }
                    },
                );
            }
            seen.insert(key, is_up);
        });
        self.up = seen;
    }
}

/// What the audit says of a revision.
pub(super) fn entry(new: &NewRevision) -> NewEntry {
    let revision = &new.record.revision;
    NewEntry {
        author: revision.author.clone(),
        source: Some(revision.source),
        action: "apply",
        refused: false,
        detail: Some(revision.summary.clone()),
        revision: Some(revision.number),
    }
}

/// How to go back from what nobody confirmed: to what it came from, or if that is damaged, to what
/// came before.
pub(super) fn reverting(
    store: &Store,
    current: &Current,
) -> Result<(Proposal, Arc<ValidConfig>), StoreError> {
    let parent = current.revision.parent.unwrap_or_default();
    let mut older = store.records(Some(parent + 1), usize::MAX).into_iter();
    let good = |record: Arc<RevisionRecord>| {
        let found = store.document(record.number()).ok()??;
        Some((record.number(), found.1))
    };
    let found = older.find_map(good);
    let (target, config) = found.ok_or(StoreError::NothingBefore(current.number))?;
    let comment = format!(
        "revision {} was not confirmed in time: back to revision {target}",
        current.number
    );
    let proposal = Proposal {
        author: Caller::administrator("lbctl"),
        source: Source::Revert,
        comment: Some(comment),
        change: Change::Rollback(target),
        parent: None,
        expected: Vec::new(),
        confirm: None,
    };
    Ok((proposal, Arc::new(config)))
}

/// Whether a deadline has passed.
pub(super) fn has_passed(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_some_and(|until| until <= now)
}
