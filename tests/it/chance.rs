//! Documents by chance that a balancer on this machine can serve.

use lb_model::Format;
use lb_model::schema::{Kind, Shape, shape};
use lb_tests::Balancer;
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// The strategies of the model's own tests, which are made from the schema.
#[path = "../../core/model/src/tests/any.rs"]
#[expect(dead_code, reason = "not everything there is needed here")]
mod any;

/// The most documents that are made for one that is valid.
const TRIES_MAX: usize = 1000;

/// Documents by chance, the same ones for the same seed.
pub(crate) struct Documents {
    runner: TestRunner,
    strategy: BoxedStrategy<Value>,
    /// Files that a document may name.
    certificate: Value,
}

/// A balancer whose own certificate is one that documents may name.
pub(crate) async fn balancer() -> Balancer {
    Balancer::start("[admin]\naddress = \"127.0.0.1:0\"\n").await
}

impl Documents {
    pub(crate) fn of(balancer: &Balancer, seed: u8) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        Self {
            runner: TestRunner::new_with_rng(ProptestConfig::default(), rng),
            strategy: any::document(),
            certificate: json!({
                "file": balancer.folder().join("state/admin-certificate.pem"),
                "key": balancer.folder().join("state/admin-key.pem"),
            }),
        }
    }

    /// The next one.
    pub(crate) fn one(&mut self) -> Value {
        let tried = (0..TRIES_MAX).find_map(|_| self.tried());
        tried.expect("one of many documents is valid")
    }

    fn tried(&mut self) -> Option<Value> {
        let tree = self.strategy.new_tree(&mut self.runner);
        let mut document = tree.expect("a document").current();
        let pools = document["pools"].as_object();
        let pools: Vec<String> = pools.into_iter().flat_map(|p| p.keys().cloned()).collect();
        servable(&mut document, shape(), &pools);
        loadable(&mut document, &self.certificate);
        if let Some(named) = document.pointer_mut("/admin/certificate") {
            named.clone_from(&self.certificate);
        }
        if let Some(named) = document.pointer_mut("/admin/client_authorities") {
            named.clone_from(&self.certificate["file"]);
        }
        // The limit on open files of whoever runs the tests allows no more.
        if let Some(most) = document.pointer_mut("/limits/connections_max") {
            *most = (1 + most.as_u64().unwrap_or(0) % 400).into();
        }
        lb_model::read(&document.to_string(), Format::Json)
            .is_ok()
            .then_some(document)
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
