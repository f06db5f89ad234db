//! What a resource will be, from its configuration and what it was. One planner for every resource: it
//! knows attributes alone.
//!
//! Terraform's law: a planned value is that of the configuration, or the prior one, or, where the
//! configuration gives none, whatever a computed attribute says. After the apply it is just that.

use lb_model::value::canonical;

use crate::schema::{Attribute, Kind, Nesting, Presence, Scalar};
use crate::value::Value;

/// What the attributes will be. Values that mean the same as the prior ones stay as those are written,
/// so that `60s` in the place of `1m` changes nothing.
pub(crate) fn plan(attributes: &[Attribute], config: &Value, prior: &Value) -> Value {
    let entry = |attribute: &Attribute| {
        let (config, prior) = (config.get(&attribute.name), prior.get(&attribute.name));
        (attribute.name.clone(), planned(attribute, config, prior))
    };
    Value::Map(attributes.iter().map(entry).collect())
}

fn planned(attribute: &Attribute, config: &Value, prior: &Value) -> Value {
    match (&attribute.presence, config) {
        (Presence::WriteOnly, _) => Value::Null,
        (_, Value::Unknown) => Value::Unknown,
        (Presence::Computed, _) if prior.is_null() => Value::Unknown,
        (Presence::Computed, _) => prior.clone(),
        (Presence::Defaulted(default), Value::Null) => respelled(&attribute.kind, default, prior),
        (Presence::Required | Presence::Optional | Presence::Defaulted(_), _) => respelled(
            &attribute.kind,
            &filled(&attribute.kind, config, prior),
            prior,
        ),
    }
}

/// A configured value with the defaults of what is in it.
fn filled(kind: &Kind, config: &Value, prior: &Value) -> Value {
    let Kind::Nested(nesting, attributes) = kind else {
        return config.clone();
    };
    match (nesting, config) {
        (Nesting::Single, Value::Map(_)) => plan(attributes, config, prior),
        (Nesting::List, Value::List(values)) => {
            let nothing = Value::Null;
            let before = |i: usize| prior.elements().get(i).unwrap_or(&nothing);
            let values = values.iter().enumerate();
            Value::List(
                values
                    .map(|(i, value)| object(attributes, value, before(i)))
                    .collect(),
            )
        }
        (Nesting::Map, Value::Map(entries)) => {
            let entry = |(key, value): (&String, &Value)| {
                (key.clone(), object(attributes, value, prior.get(key)))
            };
            Value::Map(entries.iter().map(entry).collect())
        }
        (Nesting::Single | Nesting::List | Nesting::Map, _) => config.clone(),
    }
}

/// An object in a list or a map, which may be unknown as a whole.
fn object(attributes: &[Attribute], config: &Value, prior: &Value) -> Value {
    if config.is_unknown() {
        Value::Unknown
    } else {
        plan(attributes, config, prior)
    }
}

/// A value as it was written before, as far as that meant the same. A list or map of plain values is
/// the prior one or this one as a whole, as the law asks.
pub(crate) fn respelled(kind: &Kind, value: &Value, prior: &Value) -> Value {
    match (kind, value, prior) {
        (Kind::Scalar(scalar), ..) => {
            let same = scalar.is_same(value, prior);
            if same { prior.clone() } else { value.clone() }
        }
        // A balancer does not tell an empty collection from none.
        (_, Value::Null, Value::List(before)) if before.is_empty() => prior.clone(),
        (_, Value::Null, Value::Map(before)) if before.is_empty() && kind.is_collection() => {
            prior.clone()
        }
        (Kind::List(scalar), Value::List(values), Value::List(before)) => {
            let same = values.len() == before.len()
                && values
                    .iter()
                    .zip(before)
                    .all(|(value, prior)| scalar.is_same(value, prior));
            if same { prior.clone() } else { value.clone() }
        }
        (Kind::Map(scalar), Value::Map(entries), Value::Map(before)) => {
            let same = entries.len() == before.len()
                && entries
                    .iter()
                    .zip(before)
                    .all(|((key, value), (other, prior))| {
                        key == other && scalar.is_same(value, prior)
                    });
            if same { prior.clone() } else { value.clone() }
        }
        (Kind::Nested(Nesting::Single, attributes), Value::Map(_), _) => {
            respelled_object(attributes, value, prior)
        }
        (Kind::Nested(Nesting::List, attributes), Value::List(values), _) => {
            let nothing = Value::Null;
            let before = |i: usize| prior.elements().get(i).unwrap_or(&nothing);
            let values = values.iter().enumerate();
            let values = values.map(|(i, value)| respelled_object(attributes, value, before(i)));
            Value::List(values.collect())
        }
        (Kind::Nested(Nesting::Map, attributes), Value::Map(entries), _) => {
            let entry = |(key, value): (&String, &Value)| {
                (
                    key.clone(),
                    respelled_object(attributes, value, prior.get(key)),
                )
            };
            Value::Map(entries.iter().map(entry).collect())
        }
        (Kind::List(_) | Kind::Map(_) | Kind::Nested(..), _, _) => value.clone(),
    }
}

/// The same for attributes that are a whole.
pub(crate) fn respelled_object(attributes: &[Attribute], value: &Value, prior: &Value) -> Value {
    let Value::Map(entries) = value else {
        return value.clone();
    };
    let mut entries = entries.clone();
    for attribute in attributes {
        if let Some(entry) = entries.get_mut(&attribute.name) {
            *entry = respelled(&attribute.kind, entry, prior.get(&attribute.name));
        }
    }
    Value::Map(entries)
}

impl Kind {
    fn is_collection(&self) -> bool {
        match self {
            Self::List(_) | Self::Map(_) | Self::Nested(Nesting::List | Nesting::Map, _) => true,
            Self::Scalar(_) | Self::Nested(Nesting::Single, _) => false,
        }
    }
}

impl Scalar {
    /// Whether two values mean the same to a balancer.
    fn is_same(&self, one: &Value, other: &Value) -> bool {
        if one == other {
            return true;
        }
        match (self, one, other) {
            (Self::Text(Some(format)), Value::Text(one), Value::Text(other)) => {
                let canonical = |text| canonical(format, text).ok();
                canonical(one).is_some_and(|one| Some(one) == canonical(other))
            }
            (Self::Bool | Self::Number | Self::Text(_), ..) => false,
        }
    }
}

/// A state from before with the attributes that there are now: those that have gone are left out, and
/// those that are new have their default. Old states of every version are read so.
pub(crate) fn conformed(attributes: &[Attribute], state: &Value) -> Value {
    let entry = |attribute: &Attribute| {
        let held = state.get(&attribute.name);
        let value = match (&attribute.presence, held) {
            (Presence::Defaulted(default), Value::Null) => default.clone(),
            _ => conformed_value(&attribute.kind, held),
        };
        (attribute.name.clone(), value)
    };
    Value::Map(attributes.iter().map(entry).collect())
}

fn conformed_value(kind: &Kind, value: &Value) -> Value {
    let Kind::Nested(_, attributes) = kind else {
        return value.clone();
    };
    match (kind, value) {
        (Kind::Nested(Nesting::Single, _), Value::Map(_)) => conformed(attributes, value),
        (Kind::Nested(Nesting::List, _), Value::List(values)) => Value::List(
            values
                .iter()
                .map(|value| conformed(attributes, value))
                .collect(),
        ),
        (Kind::Nested(Nesting::Map, _), Value::Map(entries)) => {
            let entry =
                |(key, value): (&String, &Value)| (key.clone(), conformed(attributes, value));
            Value::Map(entries.iter().map(entry).collect())
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use lb_model::schema::noun;

    use super::*;
    use crate::schema::attributes;

    fn pool(json: serde_json::Value) -> Value {
        Value::of_json(json)
    }

    fn planned(config: serde_json::Value, prior: &Value) -> Value {
        plan(
            &attributes(noun("pool").unwrap().shape),
            &pool(config),
            prior,
        )
    }

    #[test]
    fn what_is_not_configured_has_its_default_in_the_plan_and_loses_it_for_nothing() {
        let first = planned(
            serde_json::json!({ "queue": { "length_max": 7 } }),
            &Value::Null,
        );
        assert_eq!(*first.get("retries"), Value::Number(2));
        assert_eq!(*first.get("queue").get("length_max"), Value::Number(7));
        assert_eq!(*first.get("queue").get("timeout"), Value::from("10s"));
        assert_eq!(
            *first.get("health_check"),
            Value::Null,
            "a feature that is off"
        );
        // An attribute that is no longer configured goes back to its default.
        let again = planned(serde_json::json!({}), &first);
        assert_eq!(*again.get("queue").get("length_max"), Value::Number(1000));
    }

    #[test]
    fn a_value_stays_as_it_was_written_while_it_means_the_same() {
        let config = serde_json::json!({
            "slow_start": "60s",
            "servers": { "a": { "address": "[2001:0db8::1]:80" } },
            "health_check": { "probe": { "http": { "expect": ["401-401", "200-299"] } } },
        });
        let prior = planned(config, &Value::Null);
        let respelled = serde_json::json!({
            "slow_start": "1m",
            "servers": { "a": { "address": "[2001:db8::1]:80" } },
            "health_check": { "probe": { "http": { "expect": ["401", "200-299"] } } },
        });
        assert_eq!(planned(respelled, &prior), prior);
        let other = planned(serde_json::json!({ "slow_start": "61s" }), &prior);
        assert_eq!(*other.get("slow_start"), Value::from("61s"));
    }

    #[test]
    fn what_is_unknown_stays_so_and_an_empty_collection_is_not_none() {
        let mut config = pool(serde_json::json!({ "tls": { "pins": [] } }));
        if let Value::Map(entries) = &mut config {
            entries.insert("servers".to_owned(), Value::Unknown);
        }
        let attributes = attributes(noun("pool").unwrap().shape);
        let planned = plan(&attributes, &config, &Value::Null);
        assert_eq!(*planned.get("servers"), Value::Unknown);
        assert_eq!(*planned.get("tls").get("pins"), Value::List(Vec::new()));
        // The balancer says nothing of a list that is empty.
        let mut read = planned.clone();
        if let Value::Map(entries) = &mut read
            && let Some(Value::Map(tls)) = entries.get_mut("tls")
        {
            tls.insert("pins".to_owned(), Value::Null);
        }
        assert_eq!(respelled_object(&attributes, &read, &planned), planned);
    }
}
