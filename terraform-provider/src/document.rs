//! Objects of the document as Terraform's values, and back. Both ways follow the shape of the model.

use lb_model::schema::{Choice, Field, Kind, Shape};
use serde_json::{Map, Value as Json};

use crate::schema::attribute_name;
use crate::value::Value;

/// The value of an object of the document, with the default in the place of each key that is absent.
pub(crate) fn to_value(json: &Json, shape: &Shape) -> Value {
    match (&shape.kind, json) {
        (Kind::Table(fields), Json::Object(table)) => {
            let entry = |field: &Field| {
                let value = table.get(&field.name).or(field.default.as_ref());
                let value = value.map_or(Value::Null, |json| to_value(json, &field.shape));
                (attribute_name(&field.name), value)
            };
            Value::Map(fields.iter().map(entry).collect())
        }
        (Kind::Choice(choices), _) if !shape.is_scalar() => {
            let entry = |choice: &Choice| (attribute_name(&choice.name), chosen(json, choice));
            Value::Map(choices.iter().map(entry).collect())
        }
        (Kind::Map { values, .. }, Json::Object(table)) => {
            let entry = |(key, json): (&String, &Json)| (key.clone(), to_value(json, values));
            Value::Map(table.iter().map(entry).collect())
        }
        (Kind::List { items, .. }, Json::Array(list)) => {
            Value::List(list.iter().map(|json| to_value(json, items)).collect())
        }
        (Kind::IntegerOrText { .. }, Json::Number(number)) => Value::Text(number.to_string()),
        (
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Table(_)
            | Kind::Text { .. }
            | Kind::Unknown,
            _,
        ) => Value::of_json(json.clone()),
    }
}

fn chosen(json: &Json, choice: &Choice) -> Value {
    match &choice.payload {
        Some(payload) => {
            let payload_json = json.get(&choice.name);
            payload_json.map_or(Value::Null, |json| to_value(json, payload))
        }
        None if *json == choice.name.as_str() => Value::Bool(true),
        None => Value::Null,
    }
}

/// The object of the document that a value is, without what is null or unknown. A value that does not
/// fit the shape becomes something that does not fit it either, for the model to say what is wrong.
pub(crate) fn to_json(value: &Value, shape: &Shape) -> Json {
    match (&shape.kind, value) {
        (Kind::Table(fields), Value::Map(_)) => {
            let entries = fields.iter().filter_map(|field| {
                let held = given(value, &field.name)?;
                Some((field.name.clone(), to_json(held, &field.shape)))
            });
            Json::Object(entries.collect())
        }
        (Kind::Choice(choices), Value::Map(_)) if !shape.is_scalar() => choice(value, choices),
        (Kind::Map { values, .. }, Value::Map(entries)) => {
            let known = entries.iter().filter(|(_, value)| !value.is_unknown());
            let json = known.map(|(key, value)| (key.clone(), to_json(value, values)));
            Json::Object(json.collect())
        }
        (Kind::List { items, .. }, Value::List(values)) => {
            Json::Array(values.iter().map(|value| to_json(value, items)).collect())
        }
        (Kind::IntegerOrText { .. }, Value::Text(text)) => text
            .parse::<i64>()
            .map_or_else(|_| text.as_str().into(), Json::from),
        (_, Value::Null | Value::Unknown) => Json::Null,
        (_, Value::Bool(value)) => (*value).into(),
        (_, Value::Number(number)) => (*number).into(),
        (_, Value::Odd(number)) => (*number).into(),
        (_, Value::Text(text)) => text.as_str().into(),
        (_, Value::List(_)) => Json::Array(Vec::new()),
        (_, Value::Map(_)) => Json::Object(Map::new()),
    }
}

/// What is chosen: a word, or a table. With none or several chosen it is a table of those.
fn choice(value: &Value, choices: &[Choice]) -> Json {
    let chosen = choices.iter().filter_map(|choice| {
        let held = given(value, &choice.name)?;
        let json = match &choice.payload {
            Some(payload) => Some(to_json(held, payload)),
            None => (*held == Value::Bool(true)).then_some(Json::Bool(true)),
        };
        Some((choice, json?))
    });
    let chosen: Vec<_> = chosen.collect();
    match &chosen[..] {
        [(choice, _)] if choice.payload.is_none() => choice.name.as_str().into(),
        _ => {
            let entries = chosen
                .into_iter()
                .map(|(choice, json)| (choice.name.clone(), json));
            Json::Object(entries.collect())
        }
    }
}

/// What is given under a key.
fn given<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let held = value.get(&attribute_name(key));
    (!held.is_null() && !held.is_unknown()).then_some(held)
}
