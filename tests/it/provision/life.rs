//! From a bare machine to one that serves, and back.

use std::fs;

use lb_tests::Machine;

use super::{Fleet, assert_gone, get, release};

#[tokio::test]
async fn a_bare_machine_becomes_a_balancer_once_and_nothing_is_left_of_it_afterwards() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    let planned = fleet.lbctl(&["plan", "--detailed-exitcode"]).await;
    assert_eq!(planned.code(), 3, "{}", planned.stderr);
    assert!(
        planned.stdout.contains("+ mark of the fleet production"),
        "{}",
        planned.stdout
    );
    assert!(
        !machine.has("/opt/lbctl").await,
        "a plan has changed something"
    );
    let declined = fleet.lbctl(&["apply"]).await;
    assert_eq!(declined.code(), 2, "{declined:?}");
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    let who = machine.must(&["ps", "-C", "lbctl", "-o", "user="]).await;
    assert!(who.lines().all(|user| user == "lbctl"), "{who}");
    assert_eq!(
        machine
            .must(&["systemctl", "is-enabled", "lbctl"])
            .await
            .trim(),
        "enabled"
    );

    let status = fleet.json(&["status"]).await;
    let lb1 = &status["lb1"];
    assert_eq!(lb1["serves"], true);
    assert_eq!(lb1["machine"]["serving"], release(&machine).await);
    let table = fleet.must(&["status"]).await.stdout;
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("lb1") && line.contains("active")),
        "{table}"
    );
    let doctor = fleet.must(&["doctor"]).await.stdout;
    assert!(doctor.contains("lb1: reached, root, systemd"), "{doctor}");

    let unconfirmed = fleet.lbctl(&["destroy"]).await;
    assert_eq!(unconfirmed.code(), 2);
    assert!(
        unconfirmed.stderr.contains("--confirm production"),
        "{}",
        unconfirmed.stderr
    );
    let wrong = fleet.lbctl(&["destroy", "--confirm", "staging"]).await;
    assert_eq!(wrong.code(), 2);
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    fleet.must(&["destroy", "--confirm", "production"]).await;
    assert_gone(&machine).await;
    fleet.must(&["destroy", "--confirm", "production"]).await;
    // And once more: what was there before is in the way of nothing.
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn a_user_who_becomes_root_with_sudo_provisions_too() {
    let machine = Machine::start().await;
    let fleet = Fleet::new().await;
    let target = machine.target_as("admin");
    let text = format!(
        "name = \"production\"\n[balancers.lb1]\ntarget = {target}\ndocument = \"lb.toml\"\n"
    );
    fs::write(fleet.path("fleet.toml"), text).unwrap();
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    fleet.must(&["destroy", "--confirm", "production"]).await;
    assert_gone(&machine).await;
}

#[tokio::test]
async fn who_is_taken_out_of_the_fleet_is_taken_away_and_others_stay() {
    let (one, two) = (Machine::start().await, Machine::start().await);
    let fleet = Fleet::new().await;
    let document = "document = \"lb.toml\"";
    fleet.describe(&[("lb1", &one, document), ("lb2", &two, document)]);
    fleet.settle().await;
    assert_eq!(get(&two).await.as_deref(), Some("hello"));
    fleet.describe(&[("lb1", &one, document)]);
    let planned = fleet.must(&["plan"]).await.stdout;
    assert!(
        planned.contains("- balancer, its releases, its state and its user"),
        "{planned}"
    );
    fleet.settle().await;
    assert_gone(&two).await;
    assert_eq!(get(&one).await.as_deref(), Some("hello"));
    let status = fleet.json(&["status"]).await;
    assert_eq!(status.as_object().unwrap().len(), 1);
}
