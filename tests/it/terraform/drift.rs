//! Changes that somebody makes beside Terraform are shown and healed; those of others are left alone.

use lb_tests::{Balancer, Terraform};
use serde_json::{Value, json};

use super::{actions, document, empty};

const FARM: &str = r#"
resource "lbctl_pool" "web" {
  name = "web"
  servers = {
    iis1 = { address = "10.0.0.1:80" }
    iis2 = { address = "10.0.0.2:80", weight = 50 }
  }
  balance       = "weighted_least_connections"
  slow_start    = "60s"
  health_check  = { probe = { http = { path = "/health", expect = ["200-299", 401] } } }
}

resource "lbctl_pool" "api" {
  name = "api"
}

resource "lbctl_server" "api" {
  for_each = { one = "10.0.1.1:80", two = "[2001:0db8::0001]:80" }
  pool     = lbctl_pool.api.name
  name     = each.key
  address  = each.value
}

resource "lbctl_virtual_service" "shop" {
  name    = "shop"
  address = "127.0.0.1:0"
  pool    = lbctl_pool.web.name
  timeouts = { idle = "90s" }
  rules = [{
    name   = "api"
    match  = { path = { prefix = "/api/" } }
    action = { pool = lbctl_pool.api.name }
  }]
}
"#;

/// What other people do to the same balancer.
async fn change_beside(balancer: &Balancer) {
    for args in [
        &["server", "set", "web/iis2", "--weight", "70"][..],
        &["server", "add", "web/iis3", "--address", "10.0.0.3:80"],
        &["server", "delete", "api/one", "--yes"],
        &["pool", "set", "api", "--retries", "7"],
    ] {
        balancer
            .lbctl(args)
            .await
            .expect_success("a change beside Terraform");
    }
    let patch = json!({ "timeouts": { "idle": "5s" }, "rules": [] });
    let told = balancer
        .send_admin("PATCH", "/config/virtual_services/shop", &patch)
        .await;
    assert_eq!(told.status, 200, "{told:?}");
    let others = json!({ "address": "10.9.9.9:80" });
    let told = balancer
        .send_admin("PUT", "/config/pools/api/servers/theirs", &others)
        .await;
    assert_eq!(told.status, 200, "{told:?}");
}

#[tokio::test]
async fn what_the_command_line_and_the_api_change_is_listed_and_healed() {
    let (balancer, terraform) = empty().await;
    terraform.write("main.tf", FARM);
    terraform.apply().await;
    // Spellings of our own, such as 60s for a minute, are no difference.
    terraform.assert_empty_plan("after the first apply").await;
    let wanted = document(&balancer).await;

    change_beside(&balancer).await;
    let plan = terraform.plan().await;
    let drift = plan["resource_drift"].as_array().expect("drift").clone();
    let mut drifted: Vec<_> = drift
        .iter()
        .filter_map(|change| change["address"].as_str())
        .collect();
    drifted.sort_unstable();
    let expected = [
        "lbctl_pool.api",
        "lbctl_pool.web",
        "lbctl_server.api[\"one\"]",
        "lbctl_virtual_service.shop",
    ];
    assert_eq!(drifted, expected, "{drift:#?}");
    let planned = actions(&plan);
    let of = |address: &str| {
        planned
            .iter()
            .find(|(a, _)| a == address)
            .map(|(_, words)| words.clone())
    };
    assert_eq!(
        of("lbctl_pool.api"),
        Some(vec!["update".to_owned()]),
        "{planned:?}"
    );
    assert_eq!(
        of("lbctl_server.api[\"one\"]"),
        Some(vec!["create".to_owned()]),
        "{planned:?}"
    );
    assert_eq!(planned.len(), 4, "{planned:?}");

    terraform.apply().await;
    terraform
        .assert_empty_plan("after the drift was healed")
        .await;
    let mut healed = document(&balancer).await;
    let theirs = healed["pools"]["api"]["servers"]
        .as_object_mut()
        .and_then(|s| s.remove("theirs"));
    assert!(
        theirs.is_some(),
        "a server that somebody else attached is not touched: {healed}"
    );
    assert_eq!(healed, wanted);
}

#[tokio::test]
async fn each_attribute_is_changed_in_place_and_names_make_another_object() {
    let (balancer, terraform) = empty().await;
    terraform.write("main.tf", FARM);
    terraform.apply().await;
    let changes = [
        (
            "weight = 50",
            "weight = 51",
            "lbctl_pool.web",
            "/servers/iis2/weight",
        ),
        ("\"60s\"", "\"61s\"", "lbctl_pool.web", "/slow_start"),
        (
            "\"/health\"",
            "\"/healthy\"",
            "lbctl_pool.web",
            "/health_check/probe/http/path",
        ),
        (
            "[\"200-299\", 401]",
            "[\"200-299\"]",
            "lbctl_pool.web",
            "/health_check/probe/http/expect/1",
        ),
        (
            "\"90s\"",
            "\"91s\"",
            "lbctl_virtual_service.shop",
            "/timeouts/idle",
        ),
        (
            "\"/api/\"",
            "\"/app/\"",
            "lbctl_virtual_service.shop",
            "/rules/0/match/path/prefix",
        ),
        (
            "10.0.1.1:80",
            "10.0.1.9:80",
            "lbctl_server.api[\"one\"]",
            "/address",
        ),
    ];
    let mut text = FARM.to_owned();
    for (from, to, address, place) in changes {
        text = text.replace(from, to);
        terraform.write("main.tf", &text);
        let plan = terraform.plan().await;
        assert_eq!(
            actions(&plan),
            [(address.to_owned(), vec!["update".to_owned()])],
            "{place}"
        );
        let resources = plan["resource_changes"].as_array().expect("changes");
        let change = resources
            .iter()
            .find(|change| change["address"] == address)
            .expect("a change");
        let (before, after) = (&change["change"]["before"], &change["change"]["after"]);
        assert_ne!(
            before.pointer(place),
            after.pointer(place),
            "{place} in {change}"
        );
        terraform.apply().await;
        terraform.assert_empty_plan(place).await;
    }
    assert_spelling_and_names(&balancer, &terraform, &text).await;
}

async fn assert_spelling_and_names(balancer: &Balancer, terraform: &Terraform, text: &str) {
    // Another spelling of the same is no change.
    terraform.write(
        "main.tf",
        &text.replace("\"[2001:0db8::0001]:80\"", "\"[2001:db8::1]:80\""),
    );
    terraform
        .assert_empty_plan("after an address was spelled otherwise")
        .await;

    terraform.write("main.tf", &text.replace("two = \"[", "three = \"["));
    let replaced = actions(&terraform.plan().await);
    assert_eq!(replaced.len(), 2, "{replaced:?}");
    terraform.write(
        "main.tf",
        &text.replace(
            "name = \"web\"",
            "name = \"www\"\n  lifecycle {\n    create_before_destroy = true\n  }",
        ),
    );
    let plan = terraform.plan().await;
    let web = actions(&plan)
        .into_iter()
        .find(|(address, _)| address == "lbctl_pool.web");
    assert_eq!(web.expect("a change").1, ["create", "delete"]);
    terraform.apply().await;
    terraform
        .assert_empty_plan("after a pool was replaced")
        .await;
    let now = document(balancer).await;
    assert_eq!(now["virtual_services"]["shop"]["pool"], "www", "{now}");
    assert!(now["pools"].get("web").is_none(), "{now}");
}

#[tokio::test]
async fn a_state_of_an_earlier_or_later_version_is_taken_as_it_is_meant() {
    let (_balancer, terraform) = empty().await;
    terraform.write("main.tf", FARM);
    terraform.apply().await;
    let path = terraform.path("terraform.tfstate");
    let text = std::fs::read_to_string(&path).expect("a state");
    let mut state: Value = serde_json::from_str(&text).expect("JSON");
    let resources = state["resources"].as_array_mut().expect("resources");
    let pool = resources
        .iter_mut()
        .find(|found| found["type"] == "lbctl_pool");
    let pool = &mut pool.expect("a pool")["instances"][0]["attributes"];
    // An attribute that there was not yet, one that there is no more, and both in an object.
    pool["gone"] = json!({ "with": ["what", "it", "had"] });
    pool["queue"]["gone"] = json!(1);
    for (object, name) in [("", "http2"), ("/reuse", "private")] {
        let object = pool.pointer_mut(object).and_then(Value::as_object_mut);
        assert!(
            object.and_then(|object| object.remove(name)).is_some(),
            "{name}"
        );
    }
    state["serial"] = json!(1000);
    std::fs::write(&path, state.to_string()).expect("write the state");
    terraform
        .assert_empty_plan("with a state of another version")
        .await;
}
