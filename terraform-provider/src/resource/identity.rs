//! What tells an object from every other one, for Terraform's lists and imports.

use super::{BALANCER, ID, Resource};
use crate::value::Value;
use crate::ways::shown;
use crate::wire::{DynamicValue, Identity, IdentityAttribute, IdentitySchema};

impl Resource {
    /// The names, and the balancer when it is not that of the provider.
    pub(crate) fn identity_schema(&self) -> IdentitySchema {
        let attribute = |name: &str, required, about: &str| IdentityAttribute {
            name: name.to_owned(),
            kind: b"\"string\"".to_vec(),
            required_for_import: required,
            optional_for_import: !required,
            description: about.to_owned(),
        };
        let names = self.identity_names().into_iter();
        let mut all: Vec<_> = names
            .map(|name| attribute(name, true, "Its name."))
            .collect();
        let about = "The address of the balancer, when it is not that of the provider.";
        all.push(attribute(BALANCER, false, about));
        IdentitySchema {
            version: 0,
            identity_attributes: all,
        }
    }

    /// The identity of a state; nothing while some of it is not known, or without a state.
    pub(crate) fn identity(&self, state: &Value) -> Option<Identity> {
        let names = self.identity_names().into_iter().chain([BALANCER]);
        let entries = names.map(|name| (name.to_owned(), shown_as(name, state.get(name))));
        let value = Value::Map(entries.collect());
        let is_whole = !state.is_null() && value.is_known();
        let encoded: DynamicValue = value.encode();
        is_whole.then_some(Identity {
            identity_data: Some(encoded),
        })
    }

    /// What has no name is told apart by its identifier.
    fn identity_names(&self) -> Vec<&'static str> {
        let keys = self.keys();
        if keys.is_empty() { vec![ID] } else { keys }
    }
}

/// A value of an identity, which everybody may see.
fn shown_as(name: &str, value: &Value) -> Value {
    if name == BALANCER {
        shown(value)
    } else {
        value.clone()
    }
}
