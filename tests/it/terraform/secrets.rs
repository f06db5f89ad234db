//! A private key that is given to Terraform reaches the balancer, and is found nowhere else.

use std::path::Path;

use lb_tests::{Authority, Terraform, run};
use serde_json::Value;

use super::{document, empty};

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let below = entries.flat_map(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    below.collect()
}

/// A certificate and its key, as PEM.
async fn issued(authority: &Authority) -> (String, String) {
    authority.issue("shop", &["shop.example.com"], "30").await;
    let read = |name: &str| std::fs::read_to_string(authority.path(name)).expect("a file");
    (read("shop.pem"), read("shop-key.pem"))
}

#[tokio::test]
async fn the_key_of_a_certificate_is_in_no_state_no_plan_and_no_log() {
    let (balancer, mut terraform) = empty().await;
    let authority = Authority::new("Test").await;
    let (certificate, key) = issued(&authority).await;
    let outside = tempfile::tempdir().expect("a folder");
    let key_path = outside.path().join("key.pem");
    std::fs::write(&key_path, &key).expect("write the key");
    let text = format!(
        "resource \"lbctl_certificate\" \"shop\" {{\n  name = \"shop\"\n  certificate_pem = file({:?})\n  \
         private_key_wo = file({key_path:?})\n  private_key_wo_version = 1\n}}\n",
        terraform.path("certificate.pem"),
    );
    terraform.write("certificate.pem", &certificate);
    terraform.write("main.tf", &text);
    let log = outside.path().join("trace.log");
    terraform.set("TF_LOG", "TRACE");
    terraform.set("TF_LOG_PATH", log.to_str().expect("UTF-8"));
    terraform.plan().await;
    terraform.apply().await;
    terraform
        .assert_empty_plan("after the certificate was given")
        .await;
    let now = document(&balancer).await;
    let print = now["certificates"]["shop"]["source"]["stored"]["fingerprint"].clone();
    let state = terraform.state().await;
    let values = &state["values"]["root_module"]["resources"][0]["values"];
    assert_eq!(values["fingerprint"], print, "{values}");
    assert_eq!(values["private_key_wo"], Value::Null);

    // A renewed certificate and a new version of the key are given anew.
    let (certificate, key) = issued(&authority).await;
    terraform.write("certificate.pem", &certificate);
    std::fs::write(&key_path, &key).expect("write the key");
    terraform.apply().await;
    terraform
        .assert_empty_plan("after the certificate was renewed")
        .await;
    assert_ne!(
        document(&balancer).await["certificates"]["shop"]["source"]["stored"]["fingerprint"],
        print
    );

    assert_nowhere(&terraform, &key, &log).await;
}

/// Looks for the key in the folder of the configuration, in what a plan has in it, and in the log.
async fn assert_nowhere(terraform: &Terraform, key: &str, log: &Path) {
    let outside = tempfile::tempdir().expect("a folder");
    let marker: String = key.lines().nth(1).expect("a line of the key").to_owned();
    let mut looked = 0;
    for path in files(terraform.path("").as_path())
        .into_iter()
        .chain([log.to_owned()])
    {
        looked += 1;
        let bytes = std::fs::read(&path).expect("a file");
        let found = bytes
            .windows(marker.len())
            .any(|window| window == marker.as_bytes());
        assert!(!found, "the key is in {}", path.display());
        if path.extension().is_some_and(|extension| extension == "bin") {
            let plan = path.to_str().expect("UTF-8");
            let unpacked = run(
                "/usr/bin/python3",
                &[
                    "-m",
                    "zipfile",
                    "-e",
                    plan,
                    outside.path().join("plan").to_str().expect("UTF-8"),
                ],
            )
            .await;
            unpacked.expect_success("unpack the plan");
        }
    }
    for path in files(&outside.path().join("plan")) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        assert!(
            !text.contains(&marker),
            "the key is in {} of the plan",
            path.display()
        );
    }
    assert!(looked >= 4, "{looked} files");
    let trace = std::fs::read_to_string(log).expect("the log");
    assert!(
        trace.contains("provider.lbctl"),
        "the provider's own lines are in the log"
    );
}
