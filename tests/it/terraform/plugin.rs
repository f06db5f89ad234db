//! The provider as a plugin: who may speak to it, how much, and where it is installed.

use std::time::Duration;

use lb_tests::{Terraform, provider_path, python, run, run_lbctl, run_within};
use serde_json::{Value, json};

#[tokio::test]
async fn only_the_terraform_that_started_it_is_listened_to_and_messages_have_a_limit() {
    let mut command = python("plugin_client.py");
    command.arg(provider_path());
    let asked = run_within(Duration::from_mins(2), &mut command).await;
    let text = asked.expect_success("a client of plugins");
    let told: Value = serde_json::from_str(text.trim()).expect("JSON");
    assert_eq!(told["line"], json!(["1", "6", "unix", "grpc"]));
    assert_eq!(told["mode"], "0o700");
    for good in ["metadata", "64 MiB", "after", "health"] {
        assert!(told[good].is_u64(), "{good}: {told}");
    }
    assert_eq!(told["unknown"], "UNIMPLEMENTED", "{told}");
    assert_eq!(told["nonsense"], "INVALID_ARGUMENT", "{told}");
    assert_eq!(told["300 MiB"], "RESOURCE_EXHAUSTED", "{told}");
    assert_eq!(
        (&told["ended"], &told["left"]),
        (&json!(0), &json!([])),
        "{told}"
    );
    for stranger in ["nobody", "another"] {
        assert_eq!(told[stranger], "UNAVAILABLE", "{told}");
    }
    assert_eq!(told["old"][0], json!([""]));
    assert_eq!(told["old"][1], 2);
    let reason = told["old"][2].as_str().expect("a reason");
    assert!(reason.contains("use Terraform 1.0 or later"), "{reason}");
}

#[tokio::test]
async fn whoever_starts_it_by_hand_is_told_what_it_is() {
    let program = provider_path();
    let started = run(&program, &[]).await;
    assert_eq!(started.code(), 2, "{started:?}");
    assert!(
        started.stderr.contains("Terraform starts"),
        "{}",
        started.stderr
    );
    let help = run(&program, &["--help"]).await.expect_success("help");
    assert!(help.contains("--debug"), "{help}");
    let wrong = run(&program, &["--what"]).await;
    assert!(
        wrong.code() == 2 && wrong.stderr.contains("--help"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn what_is_installed_is_initialised_without_a_network_and_locked() {
    let mut terraform = Terraform::new();
    let mirror = terraform.path("mirror");
    let provider = provider_path();
    let args = [
        "terraform",
        "install",
        "--dir",
        mirror.to_str().expect("UTF-8"),
        "--provider",
        provider.to_str().expect("UTF-8"),
        "--output",
        "json",
    ];
    let installed = run_lbctl(&args)
        .await
        .expect_success("install the provider");
    let installed: Value = serde_json::from_str(&installed).expect("JSON");
    let version = installed["version"].as_str().expect("a version");
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{ path = \"{}\" }}\n}}\n",
        mirror.display()
    );
    terraform.write("mirror.rc", &text);
    let rc = terraform.path("mirror.rc");
    terraform.set("TF_CLI_CONFIG_FILE", rc.to_str().expect("UTF-8"));
    let text = format!(
        "terraform {{\n  required_providers {{\n    lbctl = {{\n      source  = \"lbctl/lbctl\"\n      version = \"{version}\"\n    }}\n  }}\n}}\n\n\
         output \"port\" {{\n  value = provider::lbctl::parse_address(\"10.0.0.1:80\").port\n}}\n"
    );
    terraform.write("main.tf", &text);
    terraform
        .run(&["init", "-no-color"])
        .await
        .expect_success("terraform init");
    let lock = std::fs::read_to_string(terraform.path(".terraform.lock.hcl")).expect("a lock file");
    assert!(
        lock.contains("registry.terraform.io/lbctl/lbctl") && lock.contains("h1:"),
        "{lock}"
    );
    terraform.apply().await;
    terraform.assert_empty_plan("after it was installed").await;

    for (provider, needle) in [
        ("/nonexistent", "there is no provider"),
        ("/bin/true", "is not the provider"),
    ] {
        let args = [
            "terraform",
            "install",
            "--dir",
            "/nonexistent",
            "--provider",
            provider,
        ];
        let refused = run_lbctl(&args).await;
        assert_eq!(refused.code(), 2, "{refused:?}");
        assert!(
            refused.stderr.contains(needle) && refused.stderr.contains("cargo build"),
            "{}",
            refused.stderr
        );
    }
}
