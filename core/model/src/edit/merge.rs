//! Merge patches (RFC 7396) that know the schema: of choices only one is left, names of header fields
//! are the same in any case, and what is no key stays in, so that the check that follows tells of it.

use serde_json::{Map, Value};

use crate::schema::{Choice, Kind, Shape};

/// Changes a value as a patch says.
pub(super) fn merge(value: &mut Value, patch: &Value, shape: &Shape) {
    let Value::Object(patch) = patch else {
        value.clone_from(patch);
        return;
    };
    if let Kind::Choice(choices) = &shape.kind {
        return choose(value, patch, choices);
    }
    if !matches!(shape.kind, Kind::Table(_) | Kind::Map { .. }) {
        // A table where none belongs.
        *value = Value::Object(patch.clone());
        return;
    }
    let table = as_table(value);
    for (key, patch) in patch {
        let below = match &shape.kind {
            Kind::Table(fields) => {
                let field = fields.iter().find(|field| field.name == *key);
                field.map(|field| &*field.shape)
            }
            Kind::Map { keys, values } => {
                if keys == "lb-header-name" {
                    fold(table, key);
                }
                Some(&**values)
            }
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::List { .. }
            | Kind::Text { .. }
            | Kind::Unknown => None,
        };
        match (below, patch) {
            (Some(_), Value::Null) => drop(table.shift_remove(key)),
            (Some(_), patch) if takes_away_only(patch) && !table.contains_key(key) => {}
            (Some(shape), patch) => {
                merge(
                    table.entry(key.as_str()).or_insert(Value::Null),
                    patch,
                    shape,
                );
            }
            (None, patch) => drop(table.insert(key.clone(), patch.clone())),
        }
    }
}

/// Changes a choice: what is named replaces another choice, and changes the same one.
fn choose(value: &mut Value, patch: &Map<String, Value>, choices: &[Choice]) {
    // From another choice there is nothing to take away.
    if patch
        .iter()
        .all(|(name, patch)| value.get(name).is_none() && takes_away_only(patch))
    {
        return;
    }
    let table = as_table(value);
    let names = |name: &String| patch.get(name).is_some_and(|patch| !patch.is_null());
    if patch.values().any(|patch| !patch.is_null()) {
        table.retain(|name, _| names(name));
    }
    for (name, patch) in patch {
        let choice = choices.iter().find(|choice| choice.name == *name);
        match (choice.and_then(|choice| choice.payload.as_ref()), patch) {
            (_, Value::Null) => drop(table.shift_remove(name)),
            (Some(shape), patch) => {
                merge(
                    table.entry(name.as_str()).or_insert(Value::Null),
                    patch,
                    shape,
                );
            }
            (None, patch) => drop(table.insert(name.clone(), patch.clone())),
        }
    }
}

/// Whether a patch changes nothing where nothing is: it only takes values away.
fn takes_away_only(patch: &Value) -> bool {
    match patch.as_object() {
        Some(table) if !table.is_empty() => table.values().all(takes_away_only),
        Some(_) | None => patch.is_null(),
    }
}

/// The table that a value is, or becomes.
fn as_table(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it is a table now")
}

/// Takes away what stands under the same key in another case.
fn fold(table: &mut Map<String, Value>, key: &str) {
    table.retain(|other, _| other == key || !other.eq_ignore_ascii_case(key));
}
