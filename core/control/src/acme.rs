//! Certificates that authorities issue by themselves (ACME, RFC 8555): ordered when there is none, and
//! again when a third of their life is left. A thread of its own does that, so that no traffic and no
//! change waits for an authority.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use lb_model::Config;
use lb_model::api::Timestamp;
use lb_model::config::CertificateSource;
use lb_model::value::Name;
use rustls::sign::CertifiedKey;
use tokio::sync::oneshot;

use crate::certificate::{Keeper, is_due};
use crate::{Controller, Engine, pace};

mod error;
mod fetch;
mod hook;
mod order;

use error::AcmeError;
use order::Wanted;

/// How often it is looked whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long to wait, and how often, when it only went wrong by chance.
const AGAIN_AFTER_MISHAP: Duration = Duration::from_secs(2);
const MISHAPS_MAX: u32 = 5;
/// How long all of an order may take.
const ORDER_MAX: Duration = Duration::from_mins(15);

/// Where answers are put for authorities that want to see that a host is ours.
pub trait Challenges: Send + Sync {
    /// Answers whoever asks over HTTP for this token.
    fn answer_http(&self, token: &str, answer: &str);

    /// Answers nobody who asks for this token any more.
    fn forget_http(&self, token: &str);

    /// Shows this certificate to whoever asks for this host over TLS as authorities do.
    fn answer_tls(&self, host: &str, certificate: Arc<CertifiedKey>);

    /// Shows nothing for this host any more.
    fn forget_tls(&self, host: &str);
}

/// Orders that did not end well, by the name of their certificate.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<BTreeMap<Name, Failed>>);

/// An order that did not end well.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    wanted: Wanted,
    /// How often in a row.
    times: u32,
    pub(crate) again_at: Timestamp,
    pub(crate) reason: String,
    pub(crate) help: String,
}

impl Orders {
    /// Why the latest order for this certificate has failed.
    pub(crate) fn failed(&self, name: &Name) -> Option<Failed> {
        self.all().get(name).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to order this. What has changed in the document is tried at once.
    fn may_try(&self, name: &Name, wanted: &Wanted, now: Timestamp) -> bool {
        let all = self.all();
        let failed = all.get(name).filter(|failed| failed.wanted == *wanted);
        failed.is_none_or(|failed| failed.again_at <= now)
    }

    fn note(&self, name: &Name, wanted: &Wanted, now: Timestamp, error: &AcmeError) -> Failed {
        let mut all = self.all();
        let before = all.get(name).filter(|failed| failed.wanted == *wanted);
        let times = before.map_or(0, |failed| failed.times).saturating_add(1);
        let pause = if error.is_mishap() && times <= MISHAPS_MAX {
            AGAIN_AFTER_MISHAP
        } else {
            pace::pause(times)
        };
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let failed = Failed {
            wanted: wanted.clone(),
            times,
            again_at: Timestamp::from_unix_millis(now.unix_millis().saturating_add(millis)),
            reason: error.to_string(),
            help: error.help(),
        };
        all.insert(name.clone(), failed.clone());
        failed
    }
}

/// Orders certificates for as long as it is there.
#[derive(Debug)]
pub struct Renewer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewer {
    /// Begins to order what the document in force names.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start<E: Engine>(
        controller: &Arc<Controller<E>>,
        keeper: Arc<Keeper>,
        challenges: Arc<dyn Challenges>,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()?;
        let work = Work {
            controller: Arc::downgrade(controller),
            keeper,
            challenges,
        };
        let thread = std::thread::Builder::new()
            .name("acme".to_owned())
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

impl Drop for Renewer {
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
    challenges: Arc<dyn Challenges>,
}

impl<E: Engine> Work<E> {
    async fn run(self) {
        loop {
            let Some(controller) = self.controller.upgrade() else {
                return;
            };
            let config = Arc::clone(&controller.current().config);
            drop(controller);
            for (name, wanted) in self.due(config.config()) {
                self.order(&name, &wanted).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is to be ordered now.
    fn due(&self, document: &Config) -> Vec<(Name, Wanted)> {
        let now = self.keeper.now();
        let held = self.keeper.held_now();
        let wanted = document.certificates.iter().filter_map(|(name, model)| {
            let CertificateSource::Acme(order) = &model.source else {
                return None;
            };
            let wanted = Wanted {
                account: document.acme_accounts.get(&order.account)?.clone(),
                order: order.clone(),
            };
            Some((name, wanted))
        });
        wanted
            .filter(|(name, wanted)| {
                let usable = held
                    .certificates()
                    .get(*name)
                    .and_then(|held| held.usable());
                let due = usable.is_none_or(|usable| usable.stands_in || is_due(usable, now));
                due && self.keeper.orders().may_try(name, wanted, now)
            })
            .map(|(name, wanted)| (name.clone(), wanted))
            .collect()
    }

    async fn order(&self, name: &Name, wanted: &Wanted) {
        let names: Vec<_> = wanted.order.names.iter().map(ToString::to_string).collect();
        tracing::info!(certificate = %name, names = names.join(", "), "a certificate is ordered");
        let ordered = order::run(&self.keeper, &self.challenges, wanted);
        let ordered = tokio::time::timeout(ORDER_MAX, ordered).await;
        let ordered = ordered.unwrap_or(Err(AcmeError::Slow(ORDER_MAX)));
        let kept = ordered.and_then(|judged| {
            self.keeper.vault().keep_issued(name, &judged)?;
            Ok(judged)
        });
        match kept {
            Ok(judged) => {
                let until = judged.usable.facts.not_after;
                tracing::info!(certificate = %name, %until, "a certificate was issued");
                self.keeper.orders().all().remove(name);
                self.take(name);
            }
            Err(error) => {
                let now = self.keeper.now();
                let failed = self.keeper.orders().note(name, wanted, now, &error);
                let (help, again_at) = (failed.help, failed.again_at);
                tracing::warn!(certificate = %name, %error, help, %again_at, "no certificate was issued");
            }
        }
    }

    /// Has what was issued served now, and not within a minute.
    fn take(&self, name: &Name) {
        if let Some(controller) = self.controller.upgrade()
            && let Err(error) = controller.refresh()
        {
            tracing::warn!(certificate = %name, %error, "a certificate that was issued is taken within a minute");
        }
    }
}
