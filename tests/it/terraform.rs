//! Terraform against running balancers: what an administrator who has everything in Terraform relies on.

use lb_tests::{Balancer, Terraform};
use serde_json::{Value, json};

mod around;
mod balancer;
mod cloud;
mod documents;
mod drift;
mod examples;
mod faults;
mod imports;
mod later;
mod plugin;
mod refusals;
mod secrets;
mod traffic;

/// A balancer without anything, and a folder with a configuration for it.
async fn empty() -> (Balancer, Terraform) {
    let balancer = Balancer::start("").await;
    let terraform = Terraform::of(&balancer);
    (balancer, terraform)
}

/// The document in force.
async fn document(balancer: &Balancer) -> Value {
    balancer.api().get("/config").await.json()
}

/// The addresses of the resources of a plan, with what is done to each.
fn actions(plan: &Value) -> Vec<(String, Vec<String>)> {
    let changes = plan["resource_changes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let words = |change: &Value| {
        let words = change["change"]["actions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        words
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let done = changes
        .iter()
        .filter(|change| change["change"]["actions"] != json!(["no-op"]));
    done.map(|change| {
        (
            change["address"].as_str().unwrap_or_default().to_owned(),
            words(change),
        )
    })
    .collect()
}
