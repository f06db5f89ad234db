//! What is wrong with a configuration of a balancer, and that none of ours is.

use std::fs;
use std::path::Path;

use lb_tests::{Machine, Terraform, provider_block};
use serde_json::json;

use super::{balancer, fails, folder};

#[tokio::test]
async fn what_is_wrong_is_told_at_its_line_with_the_mend_and_changes_nothing() {
    let (machine, mut terraform) = (Machine::start().await, folder().await);
    let good = balancer("lb1", &machine, "document = \"lb.toml\"");
    terraform.write("bad.toml", "[pools.web]\nbalanse = \"x\"\n");
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "target = {",
            "target = { vm = { image = \"a.qcow2\" }, ",
            &["target", "main.tf line"],
        ),
        (
            "\"production\"",
            "\"Not a name\"",
            &["fleet", "main.tf line"],
        ),
        (":9443\"", "\"", &["admin_address", "main.tf line"]),
        (
            "document =",
            "document_text = \"\"\n  document =",
            &["both given", "Leave one of them out"],
        ),
        (
            "\"lb.toml\"",
            "\"bad.toml\"",
            &["balanse", "document", "Mend it"],
        ),
        (
            "program = \"lbctl\"",
            "program = \"lb.toml\"",
            &["is not a program for Linux", "program"],
        ),
    ];
    for (from, to, words) in cases {
        terraform.write("main.tf", &good.replacen(from, to, 1));
        fails(&terraform, &["plan"], words).await;
    }
    terraform.set("PATH", "/usr/bin:/bin");
    terraform.write("main.tf", &good.replace("program = \"lbctl\"", ""));
    fails(&terraform, &["plan"], &["no `lbctl`", "folder of PATH"]).await;
    assert!(
        !machine.has("/opt/lbctl").await,
        "a plan has changed something"
    );
}

#[tokio::test]
async fn the_examples_about_machines_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a folder");
    let mut tried = 0;
    for entry in fs::read_dir(root.join("examples")).expect("examples") {
        let path = entry.expect("an entry").path().join("main.tf");
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.contains("lbctl_balancer") {
            assert_valid(&path.display().to_string(), &text).await;
            tried += 1;
        }
    }
    let documented = root.join("terraform-provider/examples");
    for kind in [
        "resources/lbctl_balancer/resource.tf",
        "data-sources/lbctl_balancer/data-source.tf",
    ] {
        let text = fs::read_to_string(documented.join(kind)).expect("an example");
        assert_valid(kind, &(provider_block("") + &text)).await;
    }
    assert!(tried >= 2, "{tried}");
}

async fn assert_valid(name: &str, text: &str) {
    let terraform = Terraform::new();
    terraform.write("main.tf", text);
    let told = terraform.validate().await;
    let wrong: Vec<_> = told
        .iter()
        .filter(|told| told["severity"] == json!("error"))
        .collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
}
