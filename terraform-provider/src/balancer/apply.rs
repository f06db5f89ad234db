//! Bringing a machine to what was planned, and taking it away.

use lb_provision::{BalancerPlan, Event, Events, FleetPlan, Intent, Presence, Session};
use tokio::sync::mpsc::UnboundedReceiver;

use super::cluster::Health;
use super::look::look;
use super::plan::{intent, lines, refusal, set};
use super::{Balancers, COMPUTED, Described, FINGERPRINT, STEPS, TARGET, tell};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::log::{Level, log};
use crate::resource::ID;
use crate::value::Value;
use crate::ways::{Private, Way, Ways};

/// What became of a change.
pub(crate) struct Applied {
    pub(crate) state: Value,
    pub(crate) private: Private,
    pub(crate) told: Diagnostics,
}

impl Balancers {
    /// Makes it, changes it, or takes it away.
    pub(crate) async fn apply(
        &self,
        prior: &Value,
        planned: &Value,
        private: Private,
        ways: &Ways,
    ) -> Applied {
        // One that was imported and not taken over yet is not ours to take away.
        if planned.is_null() && prior.get(TARGET).is_null() {
            return Applied::nothing(planned, private, Vec::new());
        }
        let subject = if planned.is_null() { prior } else { planned };
        let described = match self.described(subject) {
            Ok(described) => described,
            Err(told) => return Applied::nothing(prior, private, told),
        };
        let cluster = described
            .balancer()
            .and_then(|balancer| balancer.cluster.clone());
        let mut turn = None;
        if let Some(cluster) = &cluster {
            let fleet = &described.fleet.fleet().name;
            turn = Some(self.clusters.turn(fleet, cluster).await);
        }
        if let (Some(turn), Some(cluster)) = (&turn, &cluster)
            && let Health::Broken(other) = &**turn
        {
            let summary = format!("{} is left as it is", described.name);
            let detail = format!("`{other}`, another one of the cluster `{cluster}`, is not well.");
            let told = Diagnostic::error(summary, detail).of("cluster");
            return Applied::nothing(prior, private, vec![told]);
        }
        if self.stop.is_requested() {
            let detail = "Terraform was interrupted before this change was begun.";
            let told = Diagnostic::error("Nothing was changed", detail);
            return Applied::nothing(prior, private, vec![told]);
        }
        let applied = if planned.is_null() {
            self.remove(&described, prior, private).await
        } else {
            self.carry_out(&described, prior, planned, private).await
        };
        if let Some(turn) = &mut turn
            && !applied.told.is_empty()
        {
            **turn = Health::Broken(described.name.clone());
        }
        if let Some(access) = &applied.private.access {
            tell(ways, &applied.state, &Way::Open(access.clone()));
        }
        applied
    }

    async fn remove(&self, described: &Described, prior: &Value, private: Private) -> Applied {
        let done = self.run(described, Intent::Destroy, &private, None).await;
        match done {
            Ok(Done { told, .. }) if told.is_empty() => {
                Applied::nothing(&Value::Null, Private::default(), told)
            }
            Ok(Done { told, .. }) | Err(told) => Applied::nothing(prior, private, told),
        }
    }

    async fn carry_out(
        &self,
        described: &Described,
        prior: &Value,
        planned: &Value,
        private: Private,
    ) -> Applied {
        let shown = planned.get(STEPS);
        let done = self
            .run(described, intent(&private), &private, Some(shown))
            .await;
        let Done {
            mut told,
            private,
            steps,
        } = match done {
            Ok(done) => done,
            Err(told) => return Applied::nothing(prior, private, told),
        };
        let sight = self.sight(planned, &private).await;
        let sight = match sight {
            Ok(sight) => sight,
            Err(more) => {
                told.extend(more);
                return Applied::after_failure(prior, planned, private, told);
            }
        };
        if !told.is_empty() {
            if prior.is_null() && sight.presence == Presence::Absent {
                return Applied::nothing(prior, private, told);
            }
            return Applied::after_failure(prior, planned, private, told);
        }
        let mut state = planned.clone();
        let steps = steps.into_iter().map(Value::Text).collect();
        let named = planned.get(ID).text().unwrap_or_default();
        let told_by_it = sight.entries(named, &private).into_iter();
        for (key, value) in told_by_it.chain([(STEPS, Value::List(steps))]) {
            if state.get(key).is_unknown() {
                set(&mut state, [(key, value)]);
            }
        }
        Applied {
            state,
            private,
            told,
        }
    }

    /// Looks, plans, and does what was shown; nothing else.
    async fn run(
        &self,
        described: &Described,
        intent: Intent,
        private: &Private,
        shown: Option<&Value>,
    ) -> Result<Done, Diagnostics> {
        let mut session = Self::session(described, intent, private, true)?;
        let looked = look(&mut session, described).await;
        let plan = session.plan();
        let permitted = match (looked, plan.balancers.get(&described.name)) {
            (Err(told), _) => Err(vec![told]),
            (Ok(_), Some(plan)) => refusal(plan).and_then(|()| expected(plan, shown)),
            (Ok(_), None) => Err(Vec::new()),
        };
        if let Err(told) = permitted {
            session.close().await;
            return Err(told);
        }
        let steps = plan.balancers.get(&described.name).map(lines);
        let told = self.execute(&mut session, plan).await;
        let access = session.access(&described.name);
        session.close().await;
        Ok(Done {
            private: Private {
                is_imported: private.is_imported && !told.is_empty(),
                is_successor: false,
                access,
            },
            told,
            steps: steps.unwrap_or_default(),
        })
    }

    async fn execute(&self, session: &mut Session, plan: FleetPlan) -> Diagnostics {
        let (events, heard) = Events::channel();
        let listener = tokio::spawn(hear(heard));
        let outcome = session.execute(plan, &self.stop, &events).await;
        drop(events);
        // What nobody hears any more was not worth more.
        let _heard = listener.await;
        let failed = outcome
            .failed
            .iter()
            .map(|error| super::told(&super::in_full(error), error.help()).of(TARGET));
        let mut told: Diagnostics = failed.collect();
        if told.is_empty() && !outcome.left.is_empty() {
            let summary = "It was interrupted in the middle";
            let detail = "The step that was under way is done. The next apply goes on from there.";
            told.push(Diagnostic::error(summary, detail));
        }
        told
    }
}

/// What a session has done.
struct Done {
    private: Private,
    told: Diagnostics,
    steps: Vec<String>,
}

impl Applied {
    fn nothing(prior: &Value, private: Private, told: Diagnostics) -> Self {
        Self {
            state: prior.clone(),
            private,
            told,
        }
    }

    /// A balancer that was changed in part stays as the state had it, so that the next plan shows the rest. One that
    /// was made in part is in the state, so that it is never lost; Terraform makes it anew.
    fn after_failure(prior: &Value, planned: &Value, private: Private, told: Diagnostics) -> Self {
        if !prior.is_null() {
            return Self::nothing(prior, private, told);
        }
        let mut state = planned.clone();
        for key in COMPUTED {
            if state.get(key).is_unknown() {
                set(&mut state, [(key, Value::Null)]);
            }
        }
        let access = private.access.as_ref();
        if let Some(access) = access.filter(|_| state.get(super::ENDPOINT).is_null()) {
            let fingerprint = access.fingerprint.map(|found| found.to_string());
            let fingerprint = fingerprint.map_or(Value::Null, Value::Text);
            let endpoint = Value::Text(crate::ways::endpoint(access));
            let named = Value::Text(crate::ways::to_text(
                planned.get(ID).text().unwrap_or_default(),
                access,
            ));
            let entries = [
                (super::ENDPOINT, endpoint),
                (FINGERPRINT, fingerprint),
                (super::ACCESS, named),
            ];
            set(&mut state, entries);
        }
        Self::nothing(&state, private, told)
    }
}

/// Whether nothing is to be done that the plan has not shown.
fn expected(plan: &BalancerPlan, shown: Option<&Value>) -> Result<(), Diagnostics> {
    let Some(Value::List(shown)) = shown else {
        return Ok(());
    };
    let is_shown = |line: &String| {
        let mut shown = shown.iter().filter_map(Value::text);
        line.starts_with(' ') || shown.any(|text| text == line)
    };
    let lines = lines(plan);
    let Some(other) = lines.iter().find(|line| !is_shown(line)) else {
        return Ok(());
    };
    let summary = "The machine has changed since the plan was made";
    let detail = format!(
        "It would take a step that the plan does not show: {other}\n\nPlan and apply again."
    );
    Err(vec![Diagnostic::error(summary, detail).of(TARGET)])
}

/// Writes what happens into Terraform's log.
async fn hear(mut events: UnboundedReceiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Looking { .. } | Event::Progress { .. } => {}
            Event::Started {
                balancer,
                step,
                title,
            } => {
                let fields: [(&str, &dyn std::fmt::Display); 3] =
                    [("balancer", &balancer), ("step", &step), ("title", &title)];
                log(Level::Info, "a step begins", &fields);
            }
            Event::Finished {
                balancer,
                step,
                took,
            } => {
                let millis = took.as_millis();
                let fields: [(&str, &dyn std::fmt::Display); 3] = [
                    ("balancer", &balancer),
                    ("step", &step),
                    ("millis", &millis),
                ];
                log(Level::Info, "a step is done", &fields);
            }
            Event::Failed {
                balancer,
                step,
                error,
                ..
            } => {
                let fields: [(&str, &dyn std::fmt::Display); 3] =
                    [("balancer", &balancer), ("step", &step), ("error", &error)];
                log(Level::Warn, "a step failed", &fields);
            }
            Event::Skipped { balancer, reason } => {
                let fields: [(&str, &dyn std::fmt::Display); 2] =
                    [("balancer", &balancer), ("reason", &reason)];
                log(Level::Warn, "a balancer is left as it is", &fields);
            }
        }
    }
}
