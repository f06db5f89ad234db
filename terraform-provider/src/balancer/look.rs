//! Looking at a machine: for the state, and for the data source.

use lb_provision::{Events, Intent, Presence, Session};

use super::{
    ACCESS, Balancers, CONDITION, DESCRIPTION, Described, ENDPOINT, FINGERPRINT, RELEASE, TARGET,
    id, in_full, tell, told,
};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::resource::ID;
use crate::value::Value;
use crate::ways::{Private, Way, Ways, endpoint, to_text};

/// What is known of a machine.
pub(super) struct Sight {
    pub(super) presence: Presence,
    condition: String,
    release: Option<String>,
    fingerprint: Option<String>,
    revision: Option<i64>,
    pub(super) serves: bool,
}

impl Sight {
    /// What the machine says of itself under the attributes that it computes.
    pub(super) fn entries(&self, id: &str, private: &Private) -> [(&'static str, Value); 5] {
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let access = private.access.as_ref();
        let pinned = access.and_then(|access| access.fingerprint.map(|found| found.to_string()));
        let fingerprint = pinned.as_deref().or(self.fingerprint.as_deref());
        let named = access.map_or(Value::Null, |access| Value::Text(to_text(id, access)));
        [
            (ACCESS, named),
            (
                ENDPOINT,
                access.map(endpoint).map_or(Value::Null, Value::Text),
            ),
            (FINGERPRINT, text(fingerprint)),
            (CONDITION, self.condition.as_str().into()),
            (RELEASE, text(self.release.as_deref())),
        ]
    }
}

/// Looks at the one machine of a session.
pub(super) async fn look(
    session: &mut Session,
    described: &Described,
) -> Result<Sight, Diagnostic> {
    session.discover(&Events::nobody()).await;
    let name = &described.name;
    let seen = session.seen();
    let seen = match seen.get(name) {
        Some(Ok(seen)) => seen,
        Some(Err(error)) => {
            return Err(told(&in_full(error), error.help()).of(TARGET));
        }
        None => {
            let summary = format!("Nobody has looked at {name}");
            return Err(Diagnostic::error(summary, "Run the same command again.").of(TARGET));
        }
    };
    let status = seen.status();
    let fingerprint = status.and_then(|status| status["admin"]["fingerprint"].as_str());
    Ok(Sight {
        presence: session.presence(name).unwrap_or(Presence::Absent),
        condition: seen.condition().to_owned(),
        release: seen.release(),
        fingerprint: fingerprint.map(str::to_owned),
        revision: status.and_then(|status| status["revision"]["number"].as_i64()),
        serves: status.is_some(),
    })
}

impl Balancers {
    /// What the resource is now; null when its machine is gone.
    pub(crate) async fn read(
        &self,
        prior: &Value,
        private: &Private,
        ways: &Ways,
    ) -> (Value, Diagnostics) {
        // One that was imported has no target before the plan gives it that of the configuration.
        if prior.get(TARGET).is_null() {
            return (prior.clone(), Vec::new());
        }
        match self.sight(prior, private).await {
            Ok(sight) if sight.presence == Presence::Absent => {
                tell(ways, prior, &Way::Gone);
                (Value::Null, Vec::new())
            }
            Ok(sight) => {
                let access = private.access.clone();
                let way = match access {
                    Some(access) if sight.serves => Way::Open(access),
                    access => Way::Closed(access),
                };
                tell(ways, prior, &way);
                let mut state = prior.clone();
                if let Value::Map(entries) = &mut state {
                    let named = id(prior);
                    let named = named.text().unwrap_or_default();
                    let entered = sight.entries(named, private).into_iter();
                    // What a silent balancer does not say is as it was.
                    let entered = entered.filter(|(_, value)| sight.serves || !value.is_null());
                    entries.extend(entered.map(|(key, value)| (key.to_owned(), value)));
                }
                (state, Vec::new())
            }
            // The plan looks, too, and says so as an error: nothing is lost because nobody could look.
            Err(errors) => {
                tell(ways, prior, &Way::Closed(private.access.clone()));
                let warnings = errors.into_iter().map(Diagnostic::into_warning);
                (prior.clone(), warnings.collect())
            }
        }
    }

    pub(super) async fn sight(
        &self,
        value: &Value,
        private: &Private,
    ) -> Result<Sight, Diagnostics> {
        let described = self.described(value)?;
        let mut session = Self::session(&described, Intent::Look, private, true)?;
        let sight = look(&mut session, &described).await;
        session.close().await;
        sight.map_err(|error| vec![error])
    }

    /// What the data source says.
    pub(crate) async fn data(&self, config: &Value, ways: &Ways) -> Result<Value, Diagnostics> {
        let known = id(config);
        let private = Private {
            access: known.text().and_then(|id| ways.access(id)),
            ..Private::default()
        };
        let sight = self.sight(config, &private).await?;
        if sight.presence == Presence::Absent && !sight.serves {
            let name = config.get(super::NAME).text().unwrap_or_default();
            let summary = format!("There is no balancer `{name}` on this machine");
            let help =
                "See `name`, `fleet` and `target`, or make it with the resource `lbctl_balancer`.";
            return Err(vec![Diagnostic::error(summary, help).of(TARGET)]);
        }
        let mut state = config.clone();
        if let Value::Map(entries) = &mut state {
            let told = sight.entries(known.text().unwrap_or_default(), &private);
            entries.insert(ID.to_owned(), known);
            for (key, value) in told {
                if self.data.iter().any(|attribute| attribute.name == key) {
                    entries.insert(key.to_owned(), value);
                }
            }
            entries.insert("serves".to_owned(), Value::Bool(sight.serves));
            let revision = sight.revision.map_or(Value::Null, Value::Number);
            entries.insert("revision".to_owned(), revision);
        }
        Ok(crate::plan::conformed(&self.data, &state))
    }

    /// What the data source is for.
    pub(crate) fn data_description() -> String {
        format!("{DESCRIPTION} As it is now: nothing is changed.")
    }
}
