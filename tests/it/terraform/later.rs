//! What a later Terraform has: identities, lists and actions. It comes as a package of Python.

use std::time::Duration;

use lb_tests::{Balancer, Finished, Terraform, python, run_within};

use super::document;

const THERE: &str = r#"
[pools.web.servers]
iis1 = { address = "10.0.0.1:80" }
iis2 = { address = "10.0.0.2:80" }
[pools.api.servers]
one = { address = "10.0.1.1:80" }
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"
rules = [{ name = "api", match = { path = { prefix = "/api/" } }, action = { pool = "api" } }]
"#;

const ALL: &str = r#"
list "lbctl_pool" "all" {
  provider         = lbctl
  include_resource = true
}

list "lbctl_server" "web" {
  provider = lbctl
  config {
    pool = "web"
  }
}

list "lbctl_virtual_service" "all" {
  provider = lbctl
}
"#;

/// Runs a later terraform in the folder.
pub(super) async fn later(terraform: &Terraform, args: &[&str]) -> Finished {
    // The environment of the other one, with another program in it.
    let other = terraform.command(&[]);
    let other = other.as_std();
    let mut command = python("terraform.py");
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let folder = terraform.path("");
    command.arg(&folder).args(args).current_dir(&folder);
    run_within(Duration::from_mins(2), &mut command).await
}

#[tokio::test]
async fn a_query_finds_everything_and_what_it_writes_is_imported_without_a_change() {
    let balancer = Balancer::start(THERE).await;
    let before = document(&balancer).await;
    let terraform = Terraform::of(&balancer);
    terraform.write("all.tfquery.hcl", ALL);
    let queried = later(
        &terraform,
        &["query", "-no-color", "-generate-config-out=made.tf"],
    )
    .await;
    let said = queried.expect_success("terraform query");
    for id in ["api", "web", "web/iis1", "web/iis2", "shop"] {
        let listed = said
            .lines()
            .any(|line| line.starts_with("list.") && line.ends_with(&format!(" {id}")));
        assert!(listed, "{id} in {said}");
    }
    // Only pools were read whole, so that theirs is the configuration to be taken over here.
    let made = std::fs::read_to_string(terraform.path("made.tf")).expect("a configuration");
    assert!(made.contains("identity = {"), "{made}");
    let pools = r#"
import {
  to       = lbctl_pool.web
  identity = { name = "web" }
}

import {
  to       = lbctl_server.one
  identity = { pool = "api", name = "one" }
}

resource "lbctl_pool" "web" {
  name = "web"
  servers = {
    iis1 = { address = "10.0.0.1:80" }
    iis2 = { address = "10.0.0.2:80" }
  }
}

resource "lbctl_server" "one" {
  pool    = "api"
  name    = "one"
  address = "10.0.1.1:80"
}
"#;
    terraform.write("made.tf", pools);
    let applied = later(&terraform, &["apply", "-auto-approve", "-no-color"]).await;
    let said = applied.expect_success("import by identity");
    assert!(said.contains("2 imported, 0 added, 0 changed"), "{said}");
    let planned = later(&terraform, &["plan", "-no-color", "-detailed-exitcode"]).await;
    assert_eq!(planned.code(), 0, "{planned:?}");
    assert_eq!(document(&balancer).await, before);
}

#[tokio::test]
async fn actions_drain_enable_and_roll_back_and_say_what_they_do() {
    let balancer = Balancer::start(THERE).await;
    let terraform = Terraform::of(&balancer);
    let text = r#"
action "lbctl_drain" "iis1" {
  config {
    pool   = "web"
    server = "iis1"
    wait   = "10s"
  }
}

action "lbctl_enable" "iis1" {
  config {
    pool   = "web"
    server = "iis1"
  }
}

action "lbctl_rollback" "first" {
  config {
    revision = 1
  }
}

action "lbctl_drain" "none" {
  config {
    pool   = "web"
    server = "none"
  }
}
"#;
    terraform.write("main.tf", text);
    let state =
        async || document(&balancer).await["pools"]["web"]["servers"]["iis1"]["state"].clone();
    for (action, expected, revision) in [
        ("lbctl_drain.iis1", "draining", 2),
        ("lbctl_enable.iis1", "enabled", 3),
        ("lbctl_drain.iis1", "draining", 4),
        ("lbctl_rollback.first", "enabled", 5),
    ] {
        let invoke = format!("-invoke=action.{action}");
        let invoked = later(
            &terraform,
            &["apply", "-auto-approve", "-no-color", &invoke],
        )
        .await;
        let said = invoked.expect_success(action);
        assert!(
            said.contains(&format!("revision {revision} is in force")),
            "{action}: {said}"
        );
        assert_eq!(state().await, expected, "{action}");
    }
    let invoke = "-invoke=action.lbctl_drain.none";
    let refused = later(&terraform, &["apply", "-auto-approve", "-no-color", invoke]).await;
    assert_ne!(refused.code(), 0, "{refused:?}");
    assert!(refused.stderr.contains("`none`"), "{}", refused.stderr);
}
