//! Every attribute of every resource: documents by chance become configurations, as one resource and as
//! one for each object. What is applied is what the balancer has, and a second plan is empty.

use lb_model::Config;
use lb_model::schema::{Kind, Noun, Shape, nouns, shape};
use lb_tests::Terraform;
use serde_json::{Map, Value, json};

use super::document;
use crate::chance::{self, Documents};

/// How many documents are tried in each way.
const DOCUMENTS: usize = 12;

/// A value of the document as the configuration of Terraform has it, in JSON.
fn configured(value: &Value, shape: &Shape) -> Value {
    match (&shape.kind, value) {
        (Kind::Table(fields), Value::Object(table)) => {
            let held = fields
                .iter()
                .filter_map(|field| Some((field, table.get(&field.name)?)));
            let entry =
                held.map(|(field, value)| (field.name.clone(), configured(value, &field.shape)));
            Value::Object(entry.collect())
        }
        (Kind::Choice(_), Value::String(word)) if !shape.is_scalar() => json!({ word: true }),
        (Kind::Choice(choices), Value::Object(table)) => {
            let entry = |(name, value): (&String, &Value)| {
                let choice = choices.iter().find(|choice| choice.name == *name);
                let payload = choice
                    .and_then(|choice| choice.payload.as_ref())
                    .expect("a payload");
                (name.clone(), configured(value, payload))
            };
            Value::Object(table.iter().map(entry).collect())
        }
        (Kind::Map { values, .. }, Value::Object(table)) => {
            let entry = |(key, value): (&String, &Value)| (escaped(key), configured(value, values));
            Value::Object(table.iter().map(entry).collect())
        }
        (Kind::List { items, .. }, Value::Array(list)) => {
            list.iter().map(|value| configured(value, items)).collect()
        }
        (_, Value::String(text)) => escaped(text).into(),
        _ => value.clone(),
    }
}

/// Text that Terraform does not take for a template.
fn escaped(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

/// One resource for each object of the document. Every other pool has its servers as resources.
fn resources(document: &Value) -> Value {
    let mut all = Map::new();
    for noun in nouns().iter().filter(|noun| noun.parent.is_none()) {
        let Some(held) = document.get(noun.plural) else {
            continue;
        };
        let named: Vec<_> = match held.as_object() {
            Some(table) if noun.keyed => table.iter().map(|(k, v)| (Some(k), v)).collect(),
            _ => vec![(None, held)],
        };
        for (index, (name, value)) in named.into_iter().enumerate() {
            let mut block = configured(value, noun.shape);
            block["depends_on"] = needs(noun, document);
            if let Some(name) = name {
                block["name"] = name.clone().into();
            }
            let label = format!("x{index}");
            if noun.singular == "pool" && index % 2 == 1 {
                attach(&mut all, &label, &mut block);
            }
            insert(&mut all, noun, &label, block);
        }
    }
    // An empty table of resources is none for Terraform.
    if all.is_empty() {
        return json!({});
    }
    json!({ "resource": all })
}

/// Takes the servers out of a pool, and makes each a resource.
fn attach(all: &mut Map<String, Value>, label: &str, pool: &mut Value) {
    let servers = pool.as_object_mut().and_then(|pool| pool.remove("servers"));
    let server = nouns()
        .iter()
        .find(|noun| noun.singular == "server")
        .expect("servers");
    for (index, (name, value)) in servers
        .iter()
        .filter_map(Value::as_object)
        .flatten()
        .enumerate()
    {
        let mut block = value.clone();
        block["name"] = name.clone().into();
        block["pool"] = format!("${{lbctl_pool.{label}.name}}").into();
        insert(all, server, &format!("{label}_{index}"), block);
    }
}

fn insert(all: &mut Map<String, Value>, noun: &Noun, label: &str, block: Value) {
    let of_type = all
        .entry(format!("lbctl_{}", noun.singular))
        .or_insert_with(|| json!({}));
    of_type[label] = block;
}

/// What has to be there before objects of a noun, which name it.
fn needs(noun: &Noun, document: &Value) -> Value {
    let before: &[&str] = match noun.singular {
        "virtual_service" => &["pool", "certificate", "authority"],
        "pool" => &["certificate", "authority"],
        "certificate" => &["acme_account"],
        "acme_account" => &["authority"],
        _ => &[],
    };
    let mut needed = Vec::new();
    for noun in nouns()
        .iter()
        .filter(|noun| before.contains(&noun.singular))
    {
        let count = document[noun.plural].as_object().map_or(0, Map::len);
        needed.extend((0..count).map(|i| format!("lbctl_{}.x{i}", noun.singular)));
    }
    json!(needed)
}

async fn assert_applied(terraform: &Terraform, balancer: &lb_tests::Balancer, wanted: &Value) {
    terraform.apply().await;
    let wanted: Config = serde_json::from_value(wanted.clone()).expect("it is valid");
    let got: Config = serde_json::from_value(document(balancer).await).expect("a document");
    assert_eq!(got, wanted);
    terraform.assert_empty_plan("after it was applied").await;
}

#[tokio::test]
async fn a_document_as_one_resource_is_applied_and_changed_as_it_is_written() {
    let balancer = chance::balancer().await;
    let terraform = Terraform::of(&balancer);
    let mut documents = Documents::of(&balancer, 11);
    for _ in 0..DOCUMENTS {
        let mut wanted = documents.one();
        let block =
            json!({ "resource": { "lbctl_config": { "all": configured(&wanted, shape()) } } });
        terraform.write("main.tf.json", &block.to_string());
        if wanted.get("admin").is_none() {
            wanted["admin"] = document(&balancer).await["admin"].take();
        }
        assert_applied(&terraform, &balancer, &wanted).await;
    }
    terraform.destroy().await;
    let left = document(&balancer).await;
    assert!(
        left["pools"].as_object().is_none_or(Map::is_empty),
        "{left}"
    );
}

#[tokio::test]
async fn each_object_as_a_resource_of_its_own_is_applied_as_it_is_written_and_taken_away() {
    let balancer = chance::balancer().await;
    let terraform = Terraform::of(&balancer);
    let mut documents = Documents::of(&balancer, 13);
    let before: Config = serde_json::from_value(json!({})).expect("an empty document");
    for _ in 0..DOCUMENTS {
        let wanted = documents.one();
        terraform.write("main.tf.json", &resources(&wanted).to_string());
        let mut expected = wanted.clone();
        if expected.get("admin").is_none() {
            expected["admin"] = document(&balancer).await["admin"].take();
        }
        assert_applied(&terraform, &balancer, &expected).await;
        terraform.destroy().await;
        let mut left = document(&balancer).await;
        left.as_object_mut().expect("a table").remove("admin");
        let left: Config = serde_json::from_value(left).expect("a document");
        assert_eq!(left, before, "something is left of {wanted}");
    }
}
