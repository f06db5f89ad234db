//! The schema of the document, from the types of [`config`](crate::config) alone: as JSON Schema for
//! other programs, as a [`Shape`] for our own, as a list of leaves, and as the reference for people.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::Value;

use crate::config::Config;

mod effect;
mod leaf;
mod noun;
mod reference;
mod shape;
mod spot;

pub use effect::{Effect, Effects};
pub use leaf::{Leaf, leaves};
pub use noun::{Noun, noun, nouns};
#[cfg(test)]
pub(crate) use reference::{EXAMPLE, FLEET_EXAMPLE, SEED_EXAMPLE};
pub use reference::{fleet_reference, reference, seed_reference};
pub use shape::{Choice, Field, Kind, Shape};
pub(crate) use spot::Spot;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Config).to_value();
    tidy(&mut schema);
    schema
});

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::of_schema(&SCHEMA));

/// The JSON Schema of the document (draft 2020-12).
pub fn json_schema() -> &'static Value {
    &SCHEMA
}

/// The shape of the document: the facts of the JSON Schema, with every `$ref` resolved.
pub fn shape() -> &'static Shape {
    &SHAPE
}

/// The shape of another type, such as one that the API says or hears.
pub fn shape_of<T: JsonSchema>() -> Shape {
    let mut schema = schemars::schema_for!(T).to_value();
    tidy(&mut schema);
    Shape::of_schema(&schema)
}

/// Brings what schemars derives to what our documents are: no nulls, as an absent key says the same;
/// descriptions without the line breaks of the source; a description on the payload of each choice.
pub(crate) fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = unwrap_lines(text);
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = &types[..] {
                    object["type"] = one.clone();
                }
            }
            drop_null_alternative(object);
            describe_payload(object);
            object.values_mut().for_each(tidy);
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Turns `anyOf: [X, null]` into X.
fn drop_null_alternative(object: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(alternatives)) = object.get_mut("anyOf") else {
        return;
    };
    alternatives.retain(|schema| schema["type"] != "null");
    if let [Value::Object(one)] = &alternatives[..] {
        let one = one.clone();
        object.shift_remove("anyOf");
        for (key, value) in one {
            object.entry(key).or_insert(value);
        }
    }
}

/// Repeats the description of a choice on its one property, where tools look for it.
fn describe_payload(object: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get_mut("oneOf") else {
        return;
    };
    for choice in choices {
        let description = choice["description"].clone();
        if let Some(Value::Object(properties)) = choice.get_mut("properties") {
            for property in properties.values_mut().filter_map(Value::as_object_mut) {
                property.insert("description".into(), description.clone());
            }
        }
    }
}

fn unwrap_lines(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|p| p.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
