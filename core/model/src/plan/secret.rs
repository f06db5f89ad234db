//! The one place where secrets of a document are made unreadable: fields that the schema calls
//! `writeOnly` are given and never shown again.

use serde_json::Value;

use crate::schema::{Kind, Shape};

/// What stands for a secret.
const HIDDEN: &str = "***";

/// The value with every secret in it made unreadable.
pub(super) fn hide(shape: &Shape, value: &Value) -> Value {
    if shape.secret {
        return HIDDEN.into();
    }
    match (&shape.kind, value) {
        (Kind::Table(fields), Value::Object(table)) => {
            let hidden = |(key, value): (&String, &Value)| {
                let field = fields.iter().find(|field| field.name == *key);
                let shown = field.map_or_else(|| value.clone(), |f| hide(&f.shape, value));
                (key.clone(), shown)
            };
            Value::Object(table.iter().map(hidden).collect())
        }
        (Kind::Choice(choices), Value::Object(table)) => {
            let hidden = |(key, value): (&String, &Value)| {
                let choice = choices.iter().find(|choice| choice.name == *key);
                let payload = choice.and_then(|choice| choice.payload.as_ref());
                let shown = payload.map_or_else(|| value.clone(), |p| hide(p, value));
                (key.clone(), shown)
            };
            Value::Object(table.iter().map(hidden).collect())
        }
        (Kind::Map { values, .. }, Value::Object(table)) => {
            let hidden = |(key, value): (&String, &Value)| (key.clone(), hide(values, value));
            Value::Object(table.iter().map(hidden).collect())
        }
        (Kind::List { items, .. }, Value::Array(list)) => {
            list.iter().map(|value| hide(items, value)).collect()
        }
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A document as there is none yet: with secrets in a table, a choice, a map and a list.
    fn shape() -> Shape {
        Shape::of_schema(&json!({
            "type": "object",
            "properties": {
                "user": { "type": "string" },
                "password": { "type": "string", "writeOnly": true },
                "login": { "oneOf": [{
                    "type": "object",
                    "properties": { "token": { "$ref": "#/$defs/Secret" } },
                }]},
                "tokens": {
                    "type": "object",
                    "additionalProperties": { "$ref": "#/$defs/Secret" },
                },
                "keys": { "type": "array", "items": { "$ref": "#/$defs/Secret" } },
            },
            "$defs": { "Secret": { "type": "string", "writeOnly": true } },
        }))
    }

    #[test]
    fn no_secret_is_left_wherever_it_stands() {
        let document = json!({
            "user": "admin",
            "password": "hunter2",
            "login": { "token": "hunter2" },
            "tokens": { "a": "hunter2" },
            "keys": ["hunter2"],
        });
        let expected = json!({
            "user": "admin",
            "password": "***",
            "login": { "token": "***" },
            "tokens": { "a": "***" },
            "keys": ["***"],
        });
        assert_eq!(hide(&shape(), &document), expected);
    }
}
