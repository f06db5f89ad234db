//! Who asks responders in time: a thread of its own, which neither traffic nor changes wait for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Bytes;
use lb_model::value::Name;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

use super::fetch::{FetchError, fetch};
use super::question::Question;
use super::refusal::Refusal;
use super::request::Subject;
use super::response::{Answer, check};
use crate::certificate::{Keeper, Loaded, Usable};
use crate::clock::later;
use crate::{Controller, Engine, pace};

/// How often it is looked whether somebody is to be asked. What was answered meanwhile comes into force
/// together.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most questions at a time.
const QUESTIONS_MAX: usize = 16;

/// Asks whether certificates are revoked for as long as it is there.
#[derive(Debug)]
pub struct Stapler {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stapler {
    /// Begins to ask about what the document in force names.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start<E: Engine>(
        controller: &Arc<Controller<E>>,
        keeper: Arc<Keeper>,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()?;
        let work = Work {
            controller: Arc::downgrade(controller),
            keeper,
            running: JoinSet::new(),
            under_way: HashMap::new(),
            asked: BTreeSet::new(),
            over: BTreeMap::new(),
            has_changed: false,
        };
        let thread = std::thread::Builder::new()
            .name("ocsp".to_owned())
            .spawn(move || {
                crate::background::step_back();
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        () = work.run() => {}
                    }
                });
                // Looking up a host cannot be interrupted.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Stapler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has told why, if it has failed.
            drop(thread.join());
        }
    }
}

/// What the thread works with. It never holds the controller for longer than a look.
struct Work<E: Engine> {
    controller: Weak<Controller<E>>,
    keeper: Arc<Keeper>,
    running: JoinSet<Result<Bytes, FetchError>>,
    under_way: HashMap<Id, (Name, Subject)>,
    /// The certificates that are asked about.
    asked: BTreeSet<Name>,
    /// Those whose answer was told to be too old, with its end.
    over: BTreeMap<Name, Answer>,
    /// Whether something else is to be shown to clients.
    has_changed: bool,
}

impl<E: Engine> Work<E> {
    async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(done) = self.running.join_next_with_id() => self.finish(done),
                _ = look.tick() => {
                    let Some(controller) = self.controller.upgrade() else {
                        return;
                    };
                    self.look();
                    self.show(&controller);
                }
            }
        }
    }

    /// Begins what is due, and sees what is too old.
    fn look(&mut self) {
        let (held, now) = (self.keeper.held_now(), self.keeper.now());
        self.keep_those_of(&held);
        let mut due = Vec::new();
        for (name, usable, subject) in subjects(&held) {
            if let Some(answer) = usable.staple
                && now >= answer.next_update
                && self.over.insert(name.clone(), answer) != Some(answer)
            {
                tracing::warn!(certificate = %name, "the last answer of the OCSP responder is too old now, and clients are told nothing");
                self.has_changed = true;
            }
            let question = self.keeper.questions().latest(name, subject);
            let is_due = match (&question, usable.staple) {
                (Some(question), _) => question.again_at <= now,
                (None, Some(answer)) => answer.refresh_at() <= now,
                (None, None) => true,
            };
            if is_due && !self.under_way.values().any(|(known, _)| known == name) {
                due.push((
                    question.map_or(0, |question| question.failures),
                    name,
                    subject,
                ));
            }
        }
        // Responders that are down must not keep others waiting.
        due.sort_by_key(|(failures, ..)| *failures);
        let room = QUESTIONS_MAX.saturating_sub(self.under_way.len());
        for (_, name, subject) in due.into_iter().take(room) {
            let asked = subject.clone();
            let task = self.running.spawn(async move { fetch(&asked).await });
            self.under_way
                .insert(task.id(), (name.clone(), subject.clone()));
        }
    }

    /// Forgets what nobody is asked about any more.
    fn keep_those_of(&mut self, held: &Loaded) {
        let names = || subjects(held).map(|(name, ..)| name);
        if names().eq(&self.asked) {
            return;
        }
        self.asked = names().cloned().collect();
        let asked = &self.asked;
        self.over.retain(|name, _| asked.contains(name));
        self.keeper.questions().keep(|name| asked.contains(name));
        self.keeper
            .vault()
            .keep_staples(|name| asked.contains(name));
    }

    /// Has what was answered shown to clients. When that fails it is told, and tried within a minute.
    fn show(&mut self, controller: &Controller<E>) {
        if std::mem::take(&mut self.has_changed)
            && let Err(error) = controller.refresh()
        {
            tracing::warn!(%error, "answers of OCSP responders are shown within a minute");
        }
    }

    fn finish(&mut self, done: Result<(Id, Result<Bytes, FetchError>), JoinError>) {
        let (id, outcome) = match done {
            Ok((id, outcome)) => (id, outcome.map_err(Refusal::from)),
            Err(error) => (error.id(), Err(Refusal::Lost(error.to_string()))),
        };
        let Some((name, subject)) = self.under_way.remove(&id) else {
            return;
        };
        // Another certificate may have the name by now.
        if !self.is_in_use(&name, &subject) {
            return;
        }
        match outcome.and_then(|bytes| self.take(&name, &subject, &bytes)) {
            Ok(answer) => self.note_answer(&name, subject, answer),
            Err(refusal) => self.note_refusal(&name, subject, &refusal),
        }
    }

    fn is_in_use(&self, name: &Name, subject: &Subject) -> bool {
        let held = self.keeper.held_now();
        subjects(&held).any(|(known, _, current)| known == name && current == subject)
    }

    /// Keeps an answer that may be shown.
    fn take(&mut self, name: &Name, subject: &Subject, bytes: &[u8]) -> Result<Answer, Refusal> {
        let answer = check(bytes, subject, self.keeper.now())?;
        // Many responders say the same until half of its time is over.
        if self.keeper.vault().staple(name).as_deref() != Some(bytes) {
            self.keeper.vault().keep_staple(name, bytes)?;
            self.has_changed = true;
        }
        Ok(answer)
    }

    fn note_answer(&self, name: &Name, subject: Subject, answer: Answer) {
        let until = answer.next_update;
        tracing::info!(certificate = %name, %until, "the OCSP responder says that a certificate is good");
        let question = Question {
            again_at: answer.again_at(self.keeper.now()),
            subject,
            failures: 0,
            refusal: None,
            revoked_at: None,
        };
        self.keeper.questions().note(name, question);
    }

    fn note_refusal(&mut self, name: &Name, subject: Subject, refusal: &Refusal) {
        let before = self.keeper.questions().latest(name, &subject);
        let failures = before.as_ref().map_or(0, |question| question.failures);
        let failures = failures.saturating_add(1);
        let again_at = later(self.keeper.now(), pace::pause(failures));
        let told = refusal.told(&subject);
        let (reason, help) = (&told.message, &told.help);
        let revoked_at = refusal.revoked_at();
        if revoked_at.is_some() {
            tracing::error!(certificate = %name, reason, help, %again_at, "a CERTIFICATE IS REVOKED, and served on");
            // What was said before is known to be wrong.
            self.has_changed |= self.keeper.vault().drop_staple(name);
        } else {
            tracing::warn!(certificate = %name, reason, help, %again_at, "an OCSP responder was asked in vain");
        }
        let question = Question {
            subject,
            again_at,
            failures,
            // A responder that is down afterwards does not make it good.
            revoked_at: revoked_at.or(before.and_then(|question| question.revoked_at)),
            refusal: Some(told),
        };
        self.keeper.questions().note(name, question);
    }
}

/// The certificates whose responder is to be asked.
fn subjects(held: &Loaded) -> impl Iterator<Item = (&Name, &Usable, &Subject)> {
    let held = held.certificates().iter();
    held.filter_map(|(name, held)| {
        let usable = held.usable()?;
        let subject = usable.subject.as_ref()?;
        let wanted = held.model().ocsp_stapling;
        wanted.then_some((name, usable, subject))
    })
}
