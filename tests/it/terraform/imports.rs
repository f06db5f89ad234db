//! A balancer that was there before comes under Terraform without a change.

use lb_tests::{Balancer, Terraform};
use serde_json::json;

use super::{actions, document};

const THERE: &str = r#"
[pools.web]
balance = "source_hash"
persistence = { cookie = { name = "LB", fallback = {} } }
[pools.web.servers]
iis1 = { address = "10.0.0.1:80" }
iis2 = { address = "10.0.0.2:80" }
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"
rules = [{ name = "old", match = { host = ["old.example.com"] }, action = { redirect = { location = "https://new.example.com{path}" } } }]
[certificates.self]
source = { self_signed = { names = ["shop.example.com"] } }
[limits]
connections_max = 300
"#;

const IMPORTS: &[(&str, &str)] = &[
    ("lbctl_pool.web", "web"),
    ("lbctl_virtual_service.shop", "shop"),
    ("lbctl_certificate.self", "self"),
    ("lbctl_limits.all", "limits"),
    ("lbctl_telemetry.all", "telemetry"),
];

#[tokio::test]
async fn import_blocks_write_a_configuration_whose_plan_is_empty() {
    let balancer = Balancer::start(THERE).await;
    let before = document(&balancer).await;
    let terraform = Terraform::of(&balancer);
    let block = |(to, id): &(&str, &str)| format!("import {{\n  to = {to}\n  id = \"{id}\"\n}}\n");
    let blocks: String = IMPORTS.iter().map(block).collect();
    terraform.write("imports.tf", &blocks);
    let generated = terraform
        .run(&["plan", "-no-color", "-generate-config-out=made.tf"])
        .await;
    generated.expect_success("generate the configuration");
    terraform.apply().await;
    terraform.assert_empty_plan("after the import").await;
    assert_eq!(
        document(&balancer).await,
        before,
        "an import changes nothing"
    );
}

#[tokio::test]
async fn the_import_command_takes_identifiers_and_says_what_they_look_like() {
    let balancer = Balancer::start(THERE).await;
    let terraform = Terraform::of(&balancer);
    let attached = r#"
resource "lbctl_server" "iis1" {
  pool    = "web"
  name    = "iis1"
  address = "10.0.0.1:80"
}
resource "lbctl_config" "all" {}
"#;
    terraform.write("main.tf", attached);
    for (id, needle) in [
        ("iis1", "Use POOL/NAME"),
        ("web/iis1/x", "Use POOL/NAME"),
        ("web/", "Use POOL/NAME"),
        ("web/none", "non-existent"),
        ("web/-", "is not a name"),
    ] {
        let args = ["import", "-no-color", "lbctl_server.iis1", id];
        let refused = terraform.run(&args).await;
        assert_eq!(refused.code(), 1, "{id}: {refused:?}");
        assert!(refused.stderr.contains(needle), "{id}: {}", refused.stderr);
    }
    let args = ["import", "-no-color", "lbctl_server.iis1", "web/iis1"];
    terraform.run(&args).await.expect_success("import a server");
    let args = ["import", "-no-color", "lbctl_config.all", "config"];
    terraform
        .run(&args)
        .await
        .expect_success("import the document");
    let state = terraform.state().await;
    let resources = state["values"]["root_module"]["resources"]
        .as_array()
        .expect("resources")
        .clone();
    let all = resources
        .iter()
        .find(|found| found["type"] == "lbctl_config")
        .expect("the document");
    assert_eq!(all["values"]["limits"]["connections_max"], json!(300));
    let plan = terraform.plan().await;
    let server = actions(&plan)
        .into_iter()
        .find(|(address, _)| address == "lbctl_server.iis1");
    assert_eq!(server, None, "the server is as the configuration says");
}

#[tokio::test]
async fn a_balancer_with_a_configuration_is_not_taken_over_unasked() {
    let balancer = Balancer::start(THERE).await;
    let before = document(&balancer).await;
    let terraform = Terraform::of(&balancer);
    terraform.write(
        "main.tf",
        "resource \"lbctl_config\" \"all\" {\n  limits = { connections_max = 7 }\n}\n",
    );
    let refused = terraform
        .run(&["apply", "-auto-approve", "-no-color"])
        .await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("terraform import lbctl_config.NAME config"),
        "{}",
        refused.stderr
    );
    assert_eq!(document(&balancer).await, before);
}
