//! Who asks responders in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lb_model::api::{CertificateWarning, Timestamp};
use lb_model::value::Name;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::fetch::{FetchError, fetch};
use super::request::Subject;
use super::response::{Unfit, check};
use crate::certificate::{Keeper, Loaded, Unusable, Usable};
use crate::pace::pause;
use crate::{Controller, Engine};

/// How often it is looked whether somebody is to be asked, and how often at most what was answered is told
/// to clients: a change of certificates costs the more the more of them there are.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most questions at a time.
const QUESTIONS_MAX: usize = 8;
/// How long it takes at least from one answer to the next question, whatever a responder says.
const PAUSE_ANSWERED: Duration = Duration::from_secs(5);

/// Asks responders. It never holds the controller for longer than a look.
pub(crate) struct Stapler<E: Engine> {
    controller: Weak<Controller<E>>,
    keeper: Arc<Keeper>,
    plans: BTreeMap<Name, Plan>,
    running: JoinSet<Done>,
    /// Whether clients are to be told something else than now.
    changed: bool,
}

/// Why there is no new answer for a certificate, and when the next question is asked.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) warning: CertificateWarning,
    pub(crate) next_at: Timestamp,
}

/// What is known of one certificate.
struct Plan {
    subject: Subject,
    is_under_way: bool,
    /// How often in a row there was no answer.
    refused: u32,
    /// Before it, nobody is asked.
    not_before: Option<Instant>,
}

/// A question that has ended.
struct Done {
    name: Name,
    subject: Subject,
    outcome: Result<(), Refusal>,
}

/// Why there is no answer that could be told on.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Kept(#[from] Unusable),
}

impl Refusal {
    fn help(&self) -> String {
        match self {
            Self::Fetch(error) => error.help().to_owned(),
            Self::Unfit(Unfit::Revoked(_)) => {
                "get another certificate at once, and give it here: clients that look refuse this one"
                    .to_owned()
            }
            Self::Unfit(Unfit::Unknown) => {
                "if it was issued a moment ago, wait; if not, ask whoever issued it".to_owned()
            }
            Self::Unfit(Unfit::Time { .. }) => {
                "set the clock of the balancer: timedatectl; if it is right, the responder serves old \
                 answers"
                    .to_owned()
            }
            Self::Unfit(
                Unfit::Malformed(_) | Unfit::NoAnswer(_) | Unfit::Other | Unfit::Signature(_),
            ) => {
                "see what it says: openssl ocsp -issuer ISSUER -cert CERTIFICATE -url URL; tell whoever \
                 runs it, or set `ocsp_stapling = false`"
                    .to_owned()
            }
            Self::Kept(unusable) => unusable.help(),
        }
    }

    /// Whether what the responder said before is known to be wrong.
    const fn takes_back(&self) -> bool {
        match self {
            Self::Unfit(unfit) => matches!(unfit, Unfit::Revoked(_) | Unfit::Unknown),
            Self::Fetch(_) | Self::Kept(_) => false,
        }
    }
}

impl<E: Engine> Stapler<E> {
    pub(crate) fn new(controller: Weak<Controller<E>>, keeper: Arc<Keeper>) -> Self {
        Self {
            controller,
            keeper,
            plans: BTreeMap::new(),
            running: JoinSet::new(),
            changed: false,
        }
    }

    /// Asks for as long as there is a controller.
    pub(crate) async fn run(mut self) {
        loop {
            let look_at = Instant::now() + LOOK_EVERY;
            self.look();
            if !self.tell_clients() {
                return;
            }
            loop {
                tokio::select! {
                    () = sleep_until(look_at) => break,
                    Some(done) = self.running.join_next() => match done {
                        Ok(done) => self.finish(done),
                        Err(error) => tracing::error!(%error, "a question to a responder was lost"),
                    },
                }
            }
        }
    }

    /// Begins what is due, and takes back what is too old.
    fn look(&mut self) {
        let keeper = Arc::clone(&self.keeper);
        let (held, now) = (keeper.held_now(), keeper.now());
        let asked = |name: &Name| subject(&held, name).is_some();
        self.plans
            .retain(|name, plan| plan.is_under_way || asked(name));
        keeper.unanswered().retain(|name, _| asked(name));
        for name in held.certificates().keys() {
            let Some((usable, subject)) = subject(&held, name) else {
                continue;
            };
            let plan = self.plans.get(name);
            if plan.is_some_and(|plan| plan.is_under_way) {
                continue;
            }
            if plan.is_none_or(|plan| plan.subject != *subject) {
                keeper.unanswered().remove(name);
                self.plans.insert(name.clone(), Plan::new(subject));
            }
            if usable.staple.is_some_and(|answer| now >= answer.until) {
                tracing::warn!(certificate = %name, "the last answer of the responder is too old now, and clients are told nothing");
                keeper.vault().drop_staple(name);
                self.changed = true;
            }
            let waits = self.plans.get(name).and_then(|plan| plan.not_before);
            let may = waits.is_none_or(|until| Instant::now() >= until);
            let due = usable
                .staple
                .is_none_or(|answer| now >= answer.refresh_at());
            if may && due && self.running.len() < QUESTIONS_MAX {
                self.begin(name.clone(), subject.clone());
            }
        }
    }

    fn begin(&mut self, name: Name, subject: Subject) {
        if let Some(plan) = self.plans.get_mut(&name) {
            plan.is_under_way = true;
        }
        let keeper = Arc::clone(&self.keeper);
        self.running.spawn(async move {
            let outcome = answer(&name, &subject, &keeper).await;
            Done {
                name,
                subject,
                outcome,
            }
        });
    }

    fn finish(&mut self, done: Done) {
        let Done {
            name,
            subject,
            outcome,
        } = done;
        self.changed |= match &outcome {
            Ok(()) => true,
            Err(refusal) => refusal.takes_back(),
        };
        let Some(plan) = self.plans.get_mut(&name) else {
            return;
        };
        plan.is_under_way = false;
        match outcome {
            Ok(()) => {
                plan.refused = 0;
                plan.not_before = Some(Instant::now() + PAUSE_ANSWERED);
                self.keeper.unanswered().remove(&name);
            }
            Err(refusal) => {
                plan.refused = plan.refused.saturating_add(1);
                let pause = pause(plan.refused);
                plan.not_before = Some(Instant::now() + pause);
                if refusal.takes_back() {
                    self.keeper.vault().drop_staple(&name);
                }
                self.tell(name, &subject, &refusal, pause);
            }
        }
    }

    /// Tells the administrator that there is no answer.
    fn tell(&self, name: Name, subject: &Subject, refusal: &Refusal, pause: Duration) {
        let keeper = &self.keeper;
        let pause_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let next_at = keeper.now().unix_millis().saturating_add(pause_millis);
        let next_at = Timestamp::from_unix_millis(next_at);
        let loaded = keeper.held_now();
        let told_on = loaded.certificates().get(&name);
        let told_on = told_on.and_then(|held| held.usable()?.staple);
        let told_on = told_on.filter(|_| !refusal.takes_back());
        let until = told_on.map_or_else(String::new, |answer| {
            format!("; what it said before is told on until {}", answer.until)
        });
        let warning = CertificateWarning {
            message: format!("the OCSP responder {}: {refusal}{until}", subject.responder),
            help: refusal.help(),
        };
        let (reason, help) = (&warning.message, &warning.help);
        tracing::warn!(certificate = %name, reason, help, %next_at, "a responder was asked in vain");
        keeper
            .unanswered()
            .insert(name, Unanswered { warning, next_at });
    }

    /// Has what was kept told to clients; whether there is somebody who does.
    fn tell_clients(&mut self) -> bool {
        let Some(controller) = self.controller.upgrade() else {
            return false;
        };
        if std::mem::take(&mut self.changed)
            && let Err(error) = controller.refresh()
        {
            tracing::warn!(%error, "what responders said is told within a minute");
        }
        true
    }
}

impl Plan {
    fn new(subject: &Subject) -> Self {
        Self {
            subject: subject.clone(),
            is_under_way: false,
            refused: 0,
            not_before: None,
        }
    }
}

/// A certificate whose responder is to be asked.
fn subject<'a>(held: &'a Loaded, name: &Name) -> Option<(&'a Usable, &'a Subject)> {
    let held = held.certificates().get(name)?;
    let usable = held.usable()?;
    let subject = usable.subject.as_ref()?;
    held.model().ocsp_stapling.then_some((usable, subject))
}

/// Asks, and keeps an answer that may be told on.
async fn answer(name: &Name, subject: &Subject, keeper: &Keeper) -> Result<(), Refusal> {
    let bytes = fetch(subject).await?;
    let answer = check(&bytes, subject, keeper.now())?;
    keeper.vault().keep_staple(name, &bytes)?;
    let until = answer.until;
    tracing::info!(certificate = %name, %until, "the responder says that the certificate is good");
    Ok(())
}
