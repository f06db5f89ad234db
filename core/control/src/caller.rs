//! Who wants something, and what they may change.

use std::collections::BTreeSet;

use lb_model::api::Role;
use lb_model::value::Name;
use serde::{Deserialize, Serialize};

use crate::Object;
use crate::change::{ChangedObject, Extent};
use crate::object::Noun;

/// Who wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user of the machine, or the user that a token belongs to with the name of the token.
    pub name: String,
    /// What the caller may do.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// The objects that somebody may change. What is absent restricts nothing; as soon as virtual
/// services or pools are named, only these and what is in them can be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Only objects of these kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nouns: Option<BTreeSet<Noun>>,
    /// Only these virtual services and their rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_services: Option<BTreeSet<Name>>,
    /// Only these pools and their servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<BTreeSet<Name>>,
}

/// Somebody may not change an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The role has not the right.
    #[error("`{caller}` has the role `{role}`; changing `{object}` needs `{needed}`")]
    Role {
        /// Who.
        caller: String,
        /// The role they have.
        role: Role,
        /// The role that may.
        needed: Role,
        /// The object.
        object: Object,
    },
    /// It is out of scope.
    #[error("`{object}` is not in the scope of `{caller}`")]
    Scope {
        /// Who.
        caller: String,
        /// The object.
        object: Object,
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
    pub(crate) fn may_change(&self, changed: &[ChangedObject]) -> Result<(), ScopeError> {
        changed.iter().try_for_each(|change| {
            let ChangedObject { object, extent, .. } = change;
            let needed = match extent {
                Extent::ServerState => Role::Operate,
                Extent::Any => Role::Configure,
            };
            let (caller, object) = (self.name.clone(), object.clone());
            if !self.role.may(needed) {
                let role = self.role;
                return Err(ScopeError::Role {
                    caller,
                    role,
                    needed,
                    object,
                });
            }
            if !self.scope.covers(&object) {
                return Err(ScopeError::Scope { caller, object });
            }
            Ok(())
        })
    }
}

impl Scope {
    /// Whether the object is in it.
    pub fn covers(&self, object: &Object) -> bool {
        let Self {
            nouns,
            virtual_services,
            pools,
        } = self;
        let of_kind = nouns
            .as_ref()
            .is_none_or(|nouns| nouns.contains(&object.noun()));
        let selects = virtual_services.is_some() || pools.is_some();
        let names = |names: &Option<BTreeSet<Name>>, name| match names {
            Some(names) => names.contains(name),
            None => !selects,
        };
        of_kind
            && match object {
                Object::VirtualService(name) | Object::Rule(name, _) => {
                    names(virtual_services, name)
                }
                Object::Pool(name) | Object::Server(name, _) => names(pools, name),
                Object::Limits | Object::Telemetry => !selects,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(json: &str) -> Scope {
        serde_json::from_str(json).unwrap()
    }

    fn covers(scope: &Scope, path: &str) -> bool {
        scope.covers(&path.parse().unwrap())
    }

    #[test]
    fn a_scope_covers_what_it_names_and_nothing_beside_it() {
        let all = Scope::default();
        let pool = scope(r#"{ "pools": ["web"] }"#);
        let servers = scope(r#"{ "nouns": ["server"], "pools": ["web"] }"#);
        let services = scope(r#"{ "nouns": ["virtual_service", "rule"] }"#);
        for (path, expected) in [
            ("pools/web", [true, true, false, false]),
            ("pools/web/servers/a", [true, true, true, false]),
            ("pools/api/servers/a", [true, false, false, false]),
            ("virtual_services/shop", [true, false, false, true]),
            ("virtual_services/shop/rules/r", [true, false, false, true]),
            ("limits", [true, false, false, false]),
            ("telemetry", [true, false, false, false]),
        ] {
            let found = [&all, &pool, &servers, &services].map(|scope| covers(scope, path));
            assert_eq!(found, expected, "{path}");
        }
    }
}
