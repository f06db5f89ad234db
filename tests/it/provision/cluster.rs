//! Balancers that stand in for each other are changed one after the other.

use lb_tests::Machine;
use serde_json::Value;

use super::{Fleet, copy_with, get, release};

/// The events of a run: which, and of whom.
fn events(stdout: &str) -> Vec<(String, String)> {
    let lines = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = lines.filter_map(|event| {
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        text("event").zip(text("balancer"))
    });
    events.collect()
}

async fn pair() -> (Machine, Machine, Fleet) {
    let (one, two) = tokio::join!(Machine::start(), Machine::start());
    let fleet = Fleet::new().await;
    let more = "document = \"lb.toml\"\ncluster = \"edge\"";
    fleet.describe(&[("lb1", &one, more), ("lb2", &two, more)]);
    (one, two, fleet)
}

#[tokio::test]
async fn the_members_of_a_cluster_are_never_changed_at_the_same_time() {
    let (one, two, fleet) = pair().await;
    fleet.settle().await;
    let program = fleet.another_program("second").display().to_string();
    let upgrade = ["upgrade", "--yes", "--events", "--program", &program];
    let done = fleet.must(&upgrade).await;
    let seen = events(&done.stdout);
    let changed = seen
        .iter()
        .filter(|(event, _)| event == "started" || event == "finished");
    let whose: Vec<&str> = changed.map(|(_, balancer)| balancer.as_str()).collect();
    let first_of_two = whose.iter().position(|name| *name == "lb2").unwrap();
    let (before, after) = whose.split_at(first_of_two);
    assert!(
        before.len() >= 4 && before.iter().all(|name| *name == "lb1"),
        "{whose:?}"
    );
    assert!(after.iter().all(|name| *name == "lb2"), "{whose:?}");
    assert_eq!(release(&one).await, release(&two).await);
}

#[tokio::test]
async fn when_one_is_not_well_the_others_stay_as_they_are() {
    let (one, two, fleet) = pair().await;
    fleet.settle().await;
    let before = release(&two).await;
    copy_with("/bin/true".as_ref(), &fleet.path("ends"), |bytes| {
        bytes.extend(b"bad");
    });
    let failed = fleet
        .lbctl(&["upgrade", "--yes", "--program", "ends"])
        .await;
    assert_eq!(failed.code(), 1);
    assert!(
        failed
            .stderr
            .contains("lb2: left as it is, as another one of the cluster edge is not well"),
        "{}",
        failed.stderr
    );
    for machine in [&one, &two] {
        assert_eq!(get(machine).await.as_deref(), Some("hello"));
        assert_eq!(release(machine).await, before);
    }
    let releases = two.must(&["ls", "/opt/lbctl/releases"]).await;
    assert_eq!(releases.lines().count(), 1, "{releases}");
}
