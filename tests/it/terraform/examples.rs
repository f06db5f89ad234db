//! Every example of the provider's documentation is applied, and what it is about works.

use std::path::{Path, PathBuf};

use lb_tests::{Authority, Balancer, Terraform, run};

use super::later::later;

/// What the data sources of the examples look for.
const THERE: &str = r#"
[pools.web.servers]
iis1 = { address = "10.0.0.1:80" }
[virtual_services.shop]
address = "127.0.0.1:0"
pool = "web"
[certificates.shop]
source = { self_signed = { names = ["shop.example.com"] } }
[acme_accounts.lets-encrypt]
terms_of_service_agreed = true
"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../terraform-provider/examples")
}

/// The examples of a kind, by the name of what they are about.
fn examples(kind: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder().join(kind)).expect("examples");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut files = std::fs::read_dir(&path)
            .expect("a folder")
            .map(|file| file.expect("a file").path());
        let file = files.find(|file| file.extension().is_some_and(|e| e == "tf" || e == "hcl"));
        (
            name,
            std::fs::read_to_string(file.expect("an example")).expect("a text"),
        )
    };
    // Machines are tried by `balancer.rs`.
    let found = entries
        .map(read)
        .filter(|(name, _)| name != "lbctl_balancer");
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

/// The example with ports that are free.
fn free(text: &str) -> String {
    let ports = ["8080", "8443", "9090", "9443"];
    ports.iter().fold(text.to_owned(), |text, port| {
        text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0")
    })
}

/// A folder with the files that examples read.
async fn with_files(balancer: &Balancer) -> Terraform {
    let terraform = Terraform::of(balancer);
    let authority = Authority::new("Inside").await;
    authority.issue("shop", &["shop.example.com"], "30").await;
    for name in ["shop.pem", "shop-key.pem", "ca.pem"] {
        std::fs::copy(authority.path(name), terraform.path(name)).expect("copy");
    }
    terraform
}

#[tokio::test]
async fn each_resource_of_the_documentation_is_applied_changes_nothing_twice_and_is_taken_away() {
    let resources = examples("resources");
    assert!(resources.len() >= 10, "{resources:?}");
    for (name, text) in resources {
        let balancer = Balancer::start("[telemetry]\n").await;
        let terraform = with_files(&balancer).await;
        let before = super::document(&balancer).await;
        terraform.write("main.tf", &free(&text));
        terraform.apply().await;
        terraform.assert_empty_plan(&name).await;
        let state = terraform.state().await;
        let made = state["values"]["root_module"]["resources"]
            .as_array()
            .expect("resources");
        assert!(
            made.iter()
                .any(|resource| resource["type"] == name.as_str()),
            "{name}"
        );
        terraform.destroy().await;
        assert_eq!(
            super::document(&balancer).await,
            before,
            "{name} leaves something"
        );
    }
}

#[tokio::test]
async fn each_data_source_function_and_ephemeral_resource_of_the_documentation_works() {
    let balancer = Balancer::start(THERE).await;
    let made = with_files(&balancer).await;
    let text = "resource \"lbctl_authority\" \"inside\" {\n  name   = \"inside\"\n  source = { pem = file(\"ca.pem\") }\n}\n";
    made.write("main.tf", text);
    made.apply().await;
    let terraform = with_files(&balancer).await;
    for kind in ["data-sources", "functions", "ephemeral-resources"] {
        for (name, text) in examples(kind) {
            terraform.write("main.tf", &text);
            let applied = terraform
                .run(&["apply", "-auto-approve", "-no-color"])
                .await;
            applied.expect_success(&format!("{kind} {name}"));
        }
    }
    for (name, text) in examples("list-resources") {
        terraform.write("main.tf", "");
        terraform.write("all.tfquery.hcl", &text);
        let queried = later(&terraform, &["query", "-no-color"]).await;
        let said = queried.expect_success(&name);
        assert!(said.contains(&format!("list.{name}.example")), "{said}");
    }
    std::fs::remove_file(terraform.path("all.tfquery.hcl")).expect("a file");
    for (name, text) in examples("actions") {
        terraform.write("main.tf", &text);
        let invoke = format!("-invoke=action.{name}.example");
        let invoked = later(
            &terraform,
            &["apply", "-auto-approve", "-no-color", &invoke],
        )
        .await;
        invoked.expect_success(&name);
    }
}

#[tokio::test]
async fn examples_are_written_as_terraform_formats_them() {
    let folder = folder();
    let terraform = Terraform::new();
    let text = std::fs::read_to_string(folder.join("provider/provider.tf")).expect("an example");
    terraform.write("main.tf", &text);
    let wrong: Vec<_> = terraform
        .validate()
        .await
        .into_iter()
        .filter(|d| d["severity"] == "error")
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let others = folder.join("../../examples");
    for folder in [&folder, &others] {
        let path = folder.to_str().expect("UTF-8");
        let args = ["fmt", "-check", "-diff", "-recursive", path];
        let checked = terraform.run(&args).await;
        assert_eq!(checked.code(), 0, "{checked:?}");
    }
    for (name, _) in examples("resources") {
        let import = folder.join(format!("resources/{name}/import.sh"));
        run("sh", &["-n", import.to_str().expect("UTF-8")])
            .await
            .expect_success("a shell reads it");
    }
}
