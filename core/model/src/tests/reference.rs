//! The schema, and what is derived from it.

use std::path::Path;

use serde_json::Value;

use super::golden::assert_golden;
use crate::schema::{
    EXAMPLE, FLEET_EXAMPLE, Kind, SEED_EXAMPLE, Shape, fleet_reference, json_schema, leaves,
    reference, seed_reference, shape,
};
use crate::{Format, fleet, read, seed};

fn docs(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file)
}

#[test]
fn the_reference_in_the_repository_is_that_of_the_program() {
    assert_golden(&docs("configuration.md"), &reference());
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_program() {
    let text = serde_json::to_string_pretty(json_schema()).unwrap() + "\n";
    assert_golden(&docs("schema.json"), &text);
}

#[test]
fn the_reference_of_the_fleet_in_the_repository_is_that_of_the_program() {
    assert_golden(&docs("fleet.md"), &fleet_reference());
    let text = serde_json::to_string_pretty(fleet::json_schema()).unwrap() + "\n";
    assert_golden(&docs("fleet-schema.json"), &text);
    let valid = fleet::read(FLEET_EXAMPLE, Format::Toml).unwrap();
    assert_eq!(valid.warnings(), []);
}

#[test]
fn the_reference_of_the_seed_in_the_repository_is_that_of_the_program() {
    assert_golden(&docs("seed.md"), &seed_reference());
    let text = serde_json::to_string_pretty(seed::json_schema()).unwrap() + "\n";
    assert_golden(&docs("seed-schema.json"), &text);
    let seed = seed::read(SEED_EXAMPLE).unwrap();
    assert_eq!(seed::read(&seed.to_user_data()).unwrap(), seed);
    read(&seed.document.unwrap(), Format::Toml).unwrap();
}

#[test]
fn the_example_of_the_reference_has_no_problem() {
    let valid = read(EXAMPLE, Format::Toml).unwrap();
    assert_eq!(valid.warnings(), []);
}

/// Calls `look` with every table of keys in the schema and the place it is at.
fn each_property(schema: &Value, look: &mut impl FnMut(&str, &Value, &Value)) {
    match schema {
        Value::Object(object) => {
            if let Some(properties) = object.get("properties").and_then(Value::as_object) {
                for (name, property) in properties {
                    look(name, property, schema);
                }
            }
            object.values().for_each(|value| each_property(value, look));
        }
        Value::Array(values) => values.iter().for_each(|value| each_property(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_key_has_a_description() {
    for schema in [json_schema(), fleet::json_schema(), seed::json_schema()] {
        each_property(schema, &mut |name, property, _| {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{name}: {description:?}");
        });
    }
}

fn no_null(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("{path} is written as null"),
        Value::Object(object) => object
            .iter()
            .for_each(|(k, v)| no_null(v, &format!("{path}.{k}"))),
        Value::Array(values) => values.iter().for_each(|value| no_null(value, path)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn nothing_in_a_document_is_ever_null() {
    // The tidy schema has no null; that none is written needs `skip_serializing_if` on each option.
    assert!(!json_schema().to_string().contains("\"null\""));
    // Each table with nothing but its required keys shows every option as absent.
    let document = super::any::smallest(shape());
    let config: crate::Config = serde_json::from_value(document).unwrap();
    no_null(&serde_json::to_value(&config).unwrap(), "");
}

#[test]
fn no_choice_is_tagged_inside_itself() {
    // An internally tagged enum shows as choices with a constant among their properties.
    each_property(json_schema(), &mut |name, property, _| {
        assert!(property.get("const").is_none(), "{name} is an internal tag");
    });
}

#[test]
fn every_word_of_the_schema_is_understood() {
    fn look(shape: &Shape) {
        match &shape.kind {
            Kind::Unknown => panic!("{shape:?}"),
            Kind::Table(fields) => fields.iter().for_each(|field| look(&field.shape)),
            Kind::Choice(choices) => {
                choices
                    .iter()
                    .filter_map(|c| c.payload.as_ref())
                    .for_each(|shape| look(shape));
            }
            Kind::List { items: inner, .. } | Kind::Map { values: inner, .. } => look(inner),
            Kind::Boolean
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::Text { .. } => {}
        }
    }
    look(shape());
}

#[test]
fn every_leaf_tells_what_it_takes() {
    let leaves = leaves();
    let leaf = |path: &str| leaves.iter().find(|leaf| leaf.path == path).unwrap();
    let weight = leaf("pools.*.servers.*.weight");
    assert_eq!(
        (weight.range, weight.default.clone()),
        (Some((0, 1000)), Some(100.into()))
    );
    assert!(leaf("virtual_services.*.address").required);
    assert_eq!(
        leaf("pools.*.balance").choices.len(),
        crate::config::Balance::ALL.len()
    );
    assert_eq!(leaf("telemetry.access_log.output").choices, ["stdout"]);
    assert_eq!(
        leaf("virtual_services.*.rules[].match.path.prefix").value_type,
        "text"
    );
    assert!(leaves.iter().all(|leaf| !leaf.description.is_empty()));
}
