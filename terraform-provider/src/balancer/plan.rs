//! What a balancer will be, and what that takes on its machine.

use lb_model::fleet::Target;
use lb_model::problem::Path;
use lb_provision::{BalancerPlan, Intent, Presence};

use super::look::look;
use super::{
    ACCESS, Balancers, COMPUTED, CONDITION, Described, ENDPOINT, FINGERPRINT, FLEET, NAME, RELEASE,
    STEPS, TARGET, id, told,
};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan;
use crate::resource::ID;
use crate::value::Value;
use crate::ways::Private;

/// What Terraform is told of a change.
pub(crate) struct Planned {
    pub(crate) state: Value,
    pub(crate) replaced: Vec<Path>,
    pub(crate) private: Private,
    pub(crate) told: Diagnostics,
}

/// What decides at which address a balancer is reached.
const WAYS: [[&str; 3]; 5] = [
    ["admin_address", "", ""],
    [TARGET, "ssh", "host"],
    [TARGET, "vm", "forwards"],
    [TARGET, "vm", "address"],
    [TARGET, "redfish", "address"],
];

/// Steps that leave another certificate or token, or the knowledge of one.
const NEW_ACCESS: [&str; 6] = ["access", "claim", "enrol", "install", "machine", "replace"];

/// Steps after which a machine of a cloud has another address.
const NEW_ADDRESS: [&str; 3] = ["address", "change", "start"];

impl Balancers {
    pub(crate) async fn plan(&self, config: &Value, prior: &Value, private: Private) -> Planned {
        let mut state = plan::plan(&self.attributes, config, prior);
        let is_new = prior.is_null() || prior.get(TARGET).is_null();
        let mut planned = Planned {
            state: Value::Null,
            replaced: Vec::new(),
            private: Private {
                is_successor: false,
                // A machine that is made has another token.
                access: private.access.clone().filter(|_| !prior.is_null()),
                ..private.clone()
            },
            told: Vec::new(),
        };
        if let Value::Map(entries) = &mut state {
            entries.insert(ID.to_owned(), id(config));
            for key in COMPUTED {
                let value = if is_new {
                    &Value::Unknown
                } else {
                    prior.get(key)
                };
                entries.insert(key.to_owned(), value.clone());
            }
        }
        let configured = |state: &Value| config.is_known() && state.get(TARGET).is_known();
        if private.is_successor && prior.is_null() {
            // What is there now is the one before.
        } else if !prior.is_null()
            && [NAME, FLEET]
                .iter()
                .any(|key| state.get(key) != prior.get(key))
        {
            let others = [NAME, FLEET].into_iter();
            let others = others.filter(|key| state.get(key) != prior.get(key));
            planned.replaced = others.map(|key| Path::root().key(key)).collect();
            planned.private.is_successor = true;
        } else if configured(&state) {
            match self.steps(&state, prior, &planned.private).await {
                Ok(Taken::Steps { steps, told }) => {
                    planned.told = told;
                    if let Some(steps) = steps {
                        foresee(&mut state, prior, is_new, &steps);
                    }
                }
                Ok(Taken::OtherMachine) => planned.replaced = vec![Path::root().key(TARGET)],
                Err(told) => planned.told = told,
            }
        } else if !is_new {
            set(
                &mut state,
                [CONDITION, RELEASE, STEPS].map(|key| (key, Value::Unknown)),
            );
            forget_endpoint(&mut state, prior);
        }
        if !planned.replaced.is_empty() {
            set(&mut state, COMPUTED.map(|key| (key, Value::Unknown)));
        }
        planned.state = state;
        planned
    }

    /// Looks at the machine, and says what it takes.
    async fn steps(
        &self,
        state: &Value,
        prior: &Value,
        private: &Private,
    ) -> Result<Taken, Diagnostics> {
        let described = self.described(state)?;
        let intent = intent(private);
        let is_recorded = !prior.is_null();
        let mut session = Self::session(&described, intent, private, is_recorded)?;
        let sight = look(&mut session, &described).await;
        let plan = session.plan().balancers.remove(&described.name);
        session.close().await;
        let presence = match sight {
            Ok(sight) => sight.presence,
            Err(told) => return Err(vec![told]),
        };
        if presence != Presence::Ours && self.is_elsewhere(&described, prior) {
            return Ok(Taken::OtherMachine);
        }
        let plan = plan.ok_or_else(Vec::new)?;
        refusal(&plan)?;
        let mut told = Vec::new();
        // Whoever finds a machine of the same names has made it in a run that was lost, or somebody else
        // uses the same names.
        if prior.is_null() && presence == Presence::Ours {
            let summary = format!("There is a balancer `{}` already", described.name);
            let detail = format!(
                "It has the marks of the fleet `{}`, from a run of Terraform that was interrupted, and is taken up. \
                 When another configuration manages it, give this one another `fleet`.",
                described.fleet.fleet().name
            );
            told.push(Diagnostic::warning(summary, detail).of(NAME));
            return Ok(Taken::Steps { steps: None, told });
        }
        let steps = Some(plan);
        Ok(Taken::Steps { steps, told })
    }

    /// Whether the machine of before is another one than that which is described now.
    fn is_elsewhere(&self, described: &Described, prior: &Value) -> bool {
        let target = |described: &Described| -> Option<Target> {
            Some(described.balancer()?.target.clone())
        };
        if prior.get(TARGET).is_null() {
            return false;
        }
        let before = self
            .described(prior)
            .ok()
            .and_then(|before| target(&before));
        let now = target(described);
        before
            .zip(now)
            .is_some_and(|(before, now)| !before.is_same_machine(&now))
    }
}

/// What a look has shown.
enum Taken {
    /// What is going to be done; nothing when that is only known when it is done.
    Steps {
        steps: Option<BalancerPlan>,
        told: Diagnostics,
    },
    /// It is to be on another machine, and the one before goes.
    OtherMachine,
}

pub(super) fn intent(private: &Private) -> Intent {
    if private.is_imported {
        Intent::Adopt
    } else {
        Intent::Apply
    }
}

/// Why a machine cannot become what is wanted, for people.
pub(super) fn refusal(plan: &BalancerPlan) -> Result<(), Diagnostics> {
    let Some(problem) = &plan.problem else {
        return Ok(());
    };
    let help = plan.help.clone().unwrap_or_default();
    let help = help.replace(
        "`lbctl provision adopt`",
        "import it (`terraform import`, or an `import` block)",
    );
    let help = help.replace("`lbctl provision apply`", "`terraform apply`");
    Err(vec![told(problem, Some(help)).of(TARGET)])
}

/// The steps as lines.
pub(super) fn lines(plan: &BalancerPlan) -> Vec<String> {
    plan.steps
        .iter()
        .flat_map(lb_provision::Step::lines)
        .collect()
}

/// Puts into the state what the steps are going to change.
fn foresee(state: &mut Value, prior: &Value, is_new: bool, plan: &BalancerPlan) {
    let lines = lines(plan).into_iter().map(Value::Text).collect();
    if plan.steps.is_empty() && !is_new {
        // Something of the configuration may be different that no machine knows of.
        if state != prior {
            set(state, [(STEPS, Value::List(lines))]);
        }
        return;
    }
    set(state, [(STEPS, Value::List(lines))]);
    if is_new {
        return;
    }
    set(state, [CONDITION, RELEASE].map(|key| (key, Value::Unknown)));
    let any = |names: &[&str]| plan.steps.iter().any(|step| names.contains(&step.step));
    let is_new_access = any(&NEW_ACCESS);
    if is_new_access {
        set(
            state,
            [ACCESS, FINGERPRINT].map(|key| (key, Value::Unknown)),
        );
    }
    let is_cloud = !state.get(TARGET).get("aws").is_null();
    if is_cloud && (is_new_access || any(&NEW_ADDRESS)) {
        set(state, [ACCESS, ENDPOINT].map(|key| (key, Value::Unknown)));
    }
    forget_endpoint(state, prior);
}

/// The address is only known again when something has changed that decides which it is.
fn forget_endpoint(state: &mut Value, prior: &Value) {
    let at = |value: &Value, way: &[&str; 3]| {
        let keys = way.iter().filter(|key| !key.is_empty());
        keys.fold(value.clone(), |value, key| value.get(key).clone())
    };
    let is_kept = WAYS.iter().all(|way| at(state, way) == at(prior, way));
    if !is_kept || prior.get(ENDPOINT).is_null() && !state.get("admin_address").is_null() {
        set(state, [ACCESS, ENDPOINT].map(|key| (key, Value::Unknown)));
    }
}

pub(super) fn set<const N: usize>(state: &mut Value, changed: [(&str, Value); N]) {
    if let Value::Map(entries) = state {
        entries.extend(changed.map(|(key, value)| (key.to_owned(), value)));
    }
}
