//! Each leaf of the schema is found in every place that people and programs look at, and what is applied
//! is what is read.

use std::collections::BTreeMap;

use lb_model::Config;
use lb_model::schema::{Leaf, leaves, nouns};
use lb_tests::{lbctl_path, run};
use serde_json::{Value, json};

use crate::chance::{self, Documents};

/// Where an object of each noun stands in the paths of leaves, the innermost first.
fn places() -> Vec<(String, &'static str)> {
    let mut places: Vec<_> = nouns()
        .iter()
        .map(|noun| {
            let mut place = String::new();
            let mut next = Some(noun);
            let mut chain = Vec::new();
            while let Some(noun) = next {
                chain.push(noun);
                next = nouns().iter().find(|n| Some(n.singular) == noun.parent);
            }
            for noun in chain.iter().rev() {
                let own = match (noun.keyed, noun.is_list) {
                    (false, _) => "",
                    (true, true) => "[]",
                    (true, false) => ".*",
                };
                let dot = if place.is_empty() { "" } else { "." };
                place = format!("{place}{dot}{}{own}", noun.plural);
            }
            (format!("{place}."), noun.singular)
        })
        .collect();
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    places
}

/// The noun of a leaf, and the steps from an object of it to the leaf.
fn place_of(leaf: &Leaf, places: &[(String, &'static str)]) -> (&'static str, String) {
    let found = places
        .iter()
        .find_map(|(place, noun)| Some((*noun, leaf.path.strip_prefix(place.as_str())?)));
    let (noun, rest) = found.unwrap_or_else(|| panic!("{} belongs to no noun", leaf.path));
    (noun, rest.to_owned())
}

#[tokio::test]
async fn each_leaf_of_the_schema_is_a_flag_of_its_noun_a_part_of_the_api_and_a_row_of_the_reference()
 {
    let (places, mut helps) = (places(), BTreeMap::new());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).expect("a document");
    let reference = read("configuration.md");
    let openapi: Value = serde_json::from_str(&read("openapi.json")).expect("JSON");
    let leaves = leaves();
    assert!(leaves.len() > 100, "{} leaves", leaves.len());
    for leaf in &leaves {
        let (noun, rest) = place_of(leaf, &places);
        let command = noun.replace('_', "-");
        if !helps.contains_key(&command) {
            let help = run(lbctl_path(), &[&command, "set", "--help"]).await;
            helps.insert(command.clone(), help.expect_success("help"));
        }
        // The name of a rule is an argument, as the names of all others are.
        if !leaf.path.ends_with("rules[].name") {
            let steps = rest.split('.').filter(|step| *step != "*");
            let flag = steps.collect::<Vec<_>>().join("-").replace('_', "-");
            let help = &helps[&command];
            let there = help.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.any(|word| word == format!("--{flag}"))
            });
            assert!(there, "no --{flag} for {} in\n{help}", leaf.path);
        }
        assert_in_openapi(&openapi, leaf);
        let key = leaf
            .path
            .rsplit(['.', '['])
            .find(|s| !matches!(*s, "*" | "]"));
        let key = key.expect("a path has a key");
        let row = reference.contains(&format!("| `{key}` |"))
            || reference.contains(&format!("| `{{ {key} = … }}`"));
        assert!(row, "{key} of {} is in no row of the reference", leaf.path);
    }
}

/// Follows a leaf through the components of the API.
fn assert_in_openapi(openapi: &Value, leaf: &Leaf) {
    let resolve = |mut schema: Value| -> Value {
        while let Some(place) = schema["$ref"].as_str() {
            let place = place.trim_start_matches('#').to_owned();
            schema = openapi.pointer(&place).cloned().expect("what $ref names");
        }
        schema
    };
    let mut here = vec![resolve(json!({ "$ref": "#/components/schemas/Config" }))];
    for step in leaf.path.replace("[]", ".[]").split('.') {
        let mut next = Vec::new();
        let mut left = here;
        while let Some(schema) = left.pop() {
            for word in ["oneOf", "anyOf", "allOf"] {
                let choices = schema[word].as_array().into_iter().flatten();
                left.extend(choices.cloned().map(resolve));
            }
            let below = match step {
                "*" => {
                    let patterns = schema["patternProperties"].as_object();
                    next.extend(
                        patterns
                            .into_iter()
                            .flat_map(|p| p.values().cloned().map(resolve)),
                    );
                    &schema["additionalProperties"]
                }
                "[]" => &schema["items"],
                key => &schema["properties"][key],
            };
            if below.is_object() {
                next.push(resolve(below.clone()));
            }
        }
        assert!(!next.is_empty(), "no {step} of {} in the API", leaf.path);
        here = next;
    }
}

#[tokio::test]
async fn a_thousand_documents_are_read_as_they_were_applied() {
    let balancer = chance::balancer().await;
    let api = balancer.api();
    let mut documents = Documents::of(&balancer, 7);
    for _ in 0..1000 {
        let document = documents.one();
        let text = document.to_string();
        let json = ["Content-Type: application/json"];
        let told = api.ask("PUT", "/config", &json, text.as_bytes()).await;
        assert_eq!(told.status, 200, "{told:?}\n{text}");
        let read = api.get("/config").await.json();
        let wanted: Config = serde_json::from_value(document).expect("it was valid");
        let got: Config = serde_json::from_value(read.clone()).expect("what is read is a document");
        assert_eq!(got, wanted, "{text}");
        let asked = json!({ "change": { "document": read } });
        let plan = api.send("POST", "/plan", &asked).await;
        assert_eq!(plan.json()["plan"]["changes"], json!([]), "{text}");
    }
}
