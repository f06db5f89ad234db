//! Who wants something, and what they may change.

use lb_model::api::{Role, Scope};
use lb_model::edit::ObjectPath;
use lb_model::plan::{Action, Change, Plan};
use lb_model::problem::Step;
use serde_json::Value;

/// Who wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user of the machine, or the name of a token.
    pub name: String,
    /// What the caller may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// Somebody may not change an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The role has not the right.
    #[error("`{caller}` has the role `{role}`; changing {place} needs `{needed}`")]
    Role {
        /// Who.
        caller: String,
        /// The role they have.
        role: Role,
        /// The role that may.
        needed: Role,
        /// What would be changed.
        place: String,
    },
    /// It is out of scope.
    #[error("{place} is not in the scope of `{caller}`")]
    Scope {
        /// Who.
        caller: String,
        /// What would be changed.
        place: String,
    },
}

impl Caller {
    /// Somebody who may do everything: a user of the machine, or the balancer itself.
    pub fn administrator(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role: Role::Administer,
            scope: Scope::default(),
        }
    }

    /// Whether the caller may make all of these changes.
    pub(crate) fn may_make(&self, plan: &Plan) -> Result<(), ScopeError> {
        plan.changes.iter().try_for_each(|change| {
            let caller = self.name.clone();
            let place = || format!("`{}`", change.path);
            let needed = if is_server_state(change) {
                Role::Operate
            } else {
                Role::Configure
            };
            if !self.role.may(needed) {
                return Err(ScopeError::Role {
                    caller,
                    role: self.role,
                    needed,
                    place: place(),
                });
            }
            if !covers_change(&self.scope, change) {
                let place = place();
                return Err(ScopeError::Scope { caller, place });
            }
            Ok(())
        })
    }
}

/// Whether nothing is changed but whether a server gets traffic.
fn is_server_state(change: &Change) -> bool {
    let object = object_of(change);
    change.action == Action::Change
        && object.is_some_and(|object| object.noun().singular == "server")
        && matches!(change.path.steps(), [.., Step::Key(field)] if **field == *"state")
}

fn object_of(change: &Change) -> Option<ObjectPath> {
    let path = change.object();
    let steps = path.steps().iter().map(|step| match step {
        Step::Key(key) => key.to_string(),
        Step::Index(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join("/").parse().ok()
}

/// What belongs to no object is only for those whom nothing restricts.
fn covers_change(scope: &Scope, change: &Change) -> bool {
    let Some(object) = object_of(change) else {
        return scope.is_everything();
    };
    let values = [&change.before, &change.after];
    let whole = matches!(change.action, Action::Add | Action::Remove);
    let holds = |noun: &str| {
        let mut values = values.iter().filter_map(|value| value.as_ref()?.get(noun));
        values.any(|held| match held {
            Value::Object(objects) => !objects.is_empty(),
            Value::Array(objects) => !objects.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        })
    };
    // Whoever may only change pools must not bring servers in with one.
    let mut held = object
        .noun()
        .held()
        .filter(|noun| whole && holds(noun.plural));
    scope.covers(&object) && held.all(|noun| scope.has_noun(noun.singular))
}

#[cfg(test)]
mod tests {
    use lb_model::{Config, Format, read};

    use super::*;

    fn scope(json: &str) -> Scope {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_scope_covers_what_it_names_and_nothing_beside_it() {
        let scopes = [
            Scope::default(),
            scope(r#"{ "pools": ["web"] }"#),
            scope(r#"{ "nouns": ["server"], "pools": ["web"] }"#),
            scope(r#"{ "nouns": ["virtual_service", "rule"] }"#),
        ];
        for (path, expected) in [
            ("pools/web", [true, true, false, false]),
            ("pools/web/servers/a", [true, true, true, false]),
            ("pools/api/servers/a", [true, false, false, false]),
            ("virtual_services/shop", [true, false, false, true]),
            ("virtual_services/shop/rules/r", [true, false, false, true]),
            ("limits", [true, false, false, false]),
            ("telemetry", [true, false, false, false]),
        ] {
            let found = scopes
                .each_ref()
                .map(|scope| scope.covers(&path.parse().unwrap()));
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(
            scope(r#"{ "nouns": ["servers", "pool"] }"#)
                .unknown_nouns()
                .count(),
            1
        );
    }

    fn document(pools: &str) -> Config {
        let text = format!(
            r#"{{ "virtual_services": {{ "shop": {{ "address": "127.0.0.1:80", "pool": "web" }} }},
                "pools": {{ {pools} }} }}"#
        );
        read(&text, Format::Json).unwrap().config().clone()
    }

    #[test]
    fn a_role_and_a_scope_allow_what_they_say_also_in_a_whole_document() {
        let web = |fields: &str| {
            format!(r#""web": {{ "servers": {{ "a": {{ "address": "10.0.0.1:80"{fields} }} }} }}"#)
        };
        let before = document(&web(""));
        let may = |role, scope: &str, pools: &str| {
            let caller = Caller {
                name: "ci".to_owned(),
                role,
                scope: self::scope(scope),
            };
            caller
                .may_make(&Plan::between(&before, &document(pools)))
                .is_ok()
        };
        let drained = web(r#", "state": "draining""#);
        assert!(may(Role::Operate, "{}", &drained));
        assert!(!may(Role::View, "{}", &drained));
        assert!(!may(Role::Operate, r#"{ "pools": ["api"] }"#, &drained));
        let both = web(r#", "state": "draining", "weight": 3"#);
        assert!(!may(Role::Operate, "{}", &both));
        assert!(may(Role::Configure, r#"{ "pools": ["web"] }"#, &both));
        let added = format!(
            r#"{}, "api": {{ "servers": {{ "b": {{ "address": "10.0.0.2:80" }} }} }}"#,
            web("")
        );
        assert!(may(Role::Configure, "{}", &added));
        assert!(!may(Role::Configure, r#"{ "pools": ["web"] }"#, &added));
        assert!(
            !may(Role::Configure, r#"{ "nouns": ["pool"] }"#, &added),
            "a server comes with it"
        );
        assert!(may(
            Role::Configure,
            r#"{ "nouns": ["pool", "server"] }"#,
            &added
        ));
    }
}
