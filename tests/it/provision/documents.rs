//! What balancers serve: documents that come with the fleet.

use std::fs;

use lb_tests::{Machine, eventually, run};

use super::{DOCUMENT, Fleet, get};

#[tokio::test]
async fn a_changed_document_is_shown_in_the_plan_and_applied_live() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    let started = machine
        .must(&["systemctl", "show", "-P", "MainPID", "lbctl"])
        .await;
    fs::write(
        fleet.path("lb.toml"),
        DOCUMENT.replace("hello\" }", "good morning\" }"),
    )
    .unwrap();
    let planned = fleet.must(&["plan"]).await.stdout;
    assert!(
        planned.contains("virtual_services.shop.rules.hello"),
        "{planned}"
    );
    assert!(
        planned.contains("\"hello\" -> \"good morning\""),
        "{planned}"
    );
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("good morning"));
    let still = machine
        .must(&["systemctl", "show", "-P", "MainPID", "lbctl"])
        .await;
    assert_eq!(still, started);
    // A restart of the machine's service serves the same.
    machine.must(&["systemctl", "restart", "lbctl"]).await;
    assert_eq!(get(&machine).await.as_deref(), Some("good morning"));
    // Somebody changes it on the machine: that is told, and taken back.
    let drift = [
        "/usr/local/bin/lbctl",
        "virtual-service",
        "set",
        "shop",
        "--enabled",
        "false",
        "--yes",
    ];
    machine.must(&drift).await;
    eventually("the socket closes", async || {
        get(&machine).await.is_none().then_some(())
    })
    .await;
    let planned = fleet.lbctl(&["plan", "--detailed-exitcode"]).await;
    assert_eq!(planned.code(), 3);
    assert!(
        planned.stdout.contains("virtual_services.shop.enabled"),
        "{}",
        planned.stdout
    );
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("good morning"));
}

#[tokio::test]
async fn a_wrong_document_changes_nothing_anywhere() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    fs::write(
        fleet.path("lb.toml"),
        DOCUMENT.replace("0.0.0.0:80", "nowhere"),
    )
    .unwrap();
    let refused = fleet.lbctl(&["apply", "--yes"]).await;
    assert_eq!(refused.code(), 2, "{refused:?}");
    assert!(refused.stderr.contains("lb.toml:3:"), "{}", refused.stderr);
    // What only the machine can know: the port is taken there.
    let taken = DOCUMENT.replace("0.0.0.0:80", "0.0.0.0:22");
    fs::write(fleet.path("lb.toml"), taken).unwrap();
    let refused = fleet.lbctl(&["apply", "--yes"]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused.stderr.contains("does not take its document"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("22"), "{}", refused.stderr);
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn who_provisions_can_administer_over_the_network_at_once() {
    let machine = Machine::start().await;
    let fleet = Fleet::new().await;
    let more = format!(
        "document = \"lb.toml\"\nadmin_address = \"{}:9443\"",
        machine.address()
    );
    fleet.describe(&[("lb1", &machine, &more)]);
    fleet.settle().await;
    let settings = fleet.path("fleet.state/balancers/lb1/settings.toml");
    let status = async || {
        let args = [
            "--settings",
            &settings.display().to_string(),
            "status",
            "-o",
            "json",
        ];
        run(fleet.path("lbctl"), &args).await
    };
    let told = status().await.expect_success("status over the network");
    assert!(told.contains("\"shop\""), "{told}");
    for file in ["fleet.state/balancers/lb1/token", "fleet.state/state.json"] {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::metadata(fleet.path(file)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o600, "{file}");
    }
    // A token that was lost is made anew, and the old one is good for nothing.
    let old = fs::read_to_string(fleet.path("fleet.state/balancers/lb1/token")).unwrap();
    fs::remove_file(fleet.path("fleet.state/balancers/lb1/token")).unwrap();
    fleet.settle().await;
    let new = fs::read_to_string(fleet.path("fleet.state/balancers/lb1/token")).unwrap();
    assert_ne!(new, old);
    status().await.expect_success("status with the new token");
    let token = fleet.path("fleet.state/balancers/lb1/token");
    fs::write(&token, old).unwrap();
    assert_eq!(status().await.code(), 1);
    // No secret is told to whoever looks on.
    let state = fs::read_to_string(fleet.path("fleet.state/state.json")).unwrap();
    assert!(!state.contains(new.trim()));
}
