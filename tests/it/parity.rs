//! Each leaf of the schema is found in every place that people and programs look at, and what is applied
//! is what is read.

use std::collections::BTreeMap;

use lb_model::schema::{Kind, Leaf, Shape, leaves, nouns, shape};
use lb_model::{Config, Format};
use lb_tests::{Balancer, lbctl_path, run};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// The strategies of the model's own tests, which are made from the schema.
#[path = "../../core/model/src/tests/any.rs"]
#[expect(dead_code, reason = "not everything there is needed here")]
mod any;

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

/// Makes a document that fits the schema one that a machine can serve: with ports that are free, pools
/// that are there, and no file.
fn servable(document: &mut Value, shape: &Shape, pools: &[String]) {
    match (&shape.kind, document) {
        (Kind::Table(fields), Value::Object(table)) => {
            table.remove("access_log");
            for field in fields {
                let Some(value) = table.get_mut(&field.name) else {
                    continue;
                };
                let listens = |format: &str| format == "lb-listen-address";
                if matches!(&field.shape.kind, Kind::Text { format: Some(f), .. } if listens(f)) {
                    *value = "127.0.0.1:0".into();
                }
                if field.name == "pool" && value.is_string() {
                    match pools.first() {
                        Some(pool) => *value = pool.clone().into(),
                        None => drop(table.remove("pool")),
                    }
                    continue;
                }
                servable(value, &field.shape, pools);
            }
        }
        (Kind::Map { values, .. }, Value::Object(map)) => {
            for value in map.values_mut() {
                servable(value, values, pools);
            }
        }
        (Kind::List { items, .. }, Value::Array(list)) => {
            for value in list {
                servable(value, items, pools);
            }
        }
        (Kind::Choice(choices), Value::Object(choice)) => {
            for (name, value) in choice {
                if name == "pool" {
                    *value = pools.first().cloned().unwrap_or_default().into();
                }
                let chosen = choices.iter().find(|choice| choice.name == *name);
                if let Some(payload) = chosen.and_then(|choice| choice.payload.as_ref()) {
                    servable(value, payload, pools);
                }
            }
        }
        _ => {}
    }
}

/// Has certificates and authorities come from files that are there. What the balancer makes stays.
fn loadable(document: &mut Value, files: &Value) {
    for noun in ["certificates", "authorities"] {
        let Some(all) = document.get_mut(noun).and_then(Value::as_object_mut) else {
            continue;
        };
        for object in all.values_mut() {
            let source = &mut object["source"];
            if noun == "authorities" {
                *source = json!({ "file": files["file"] });
            } else if source.get("self_signed").is_none() {
                *source = json!({ "files": { "certificate": files["file"], "key": files["key"] } });
            }
            let object = object.as_object_mut().expect("a table");
            object.remove("revocation_list");
        }
    }
}

#[tokio::test]
async fn a_thousand_documents_are_read_as_they_were_applied() {
    // It makes a certificate for itself, which is as good as any other.
    let balancer = Balancer::start("[admin]\naddress = \"127.0.0.1:0\"\n").await;
    let certificate = json!({
        "file": balancer.folder().join("state/admin-certificate.pem"),
        "key": balancer.folder().join("state/admin-key.pem"),
    });
    let api = balancer.api();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let strategy = any::document();
    let (mut applied, mut tried) = (0, 0);
    while applied < 1000 {
        tried += 1;
        assert!(tried < 100_000, "{applied} documents of {tried} were valid");
        let mut document = strategy
            .new_tree(&mut runner)
            .expect("a document")
            .current();
        let pools = document["pools"].as_object();
        let pools: Vec<String> = pools.into_iter().flat_map(|p| p.keys().cloned()).collect();
        servable(&mut document, shape(), &pools);
        loadable(&mut document, &certificate);
        if let Some(named) = document.pointer_mut("/admin/certificate") {
            named.clone_from(&certificate);
        }
        // The limit on open files of whoever runs the tests allows no more.
        if let Some(most) = document.pointer_mut("/limits/connections_max") {
            *most = (1 + most.as_u64().unwrap_or(0) % 400).into();
        }
        let text = document.to_string();
        if lb_model::read(&text, Format::Json).is_err() {
            continue;
        }
        let json = ["Content-Type: application/json"];
        let told = api.ask("PUT", "/config", &json, text.as_bytes()).await;
        assert_eq!(told.status, 200, "{told:?}\n{text}");
        applied += 1;
        let read = api.get("/config").await.json();
        let wanted: Config = serde_json::from_value(document).expect("it was valid");
        let got: Config = serde_json::from_value(read.clone()).expect("what is read is a document");
        assert_eq!(got, wanted, "{text}");
        let asked = json!({ "change": { "document": read } });
        let plan = api.send("POST", "/plan", &asked).await;
        assert_eq!(plan.json()["plan"]["changes"], json!([]), "{text}");
    }
    println!("{applied} of {tried} documents by chance were valid and applied");
}
