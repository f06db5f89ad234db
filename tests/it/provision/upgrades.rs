//! Other programs on a machine: without a failed request, and back when they are no good.

use std::fs;
use std::net::SocketAddr;

use lb_tests::{Client, Machine};
use tokio::sync::watch;

use super::{Fleet, copy_with, get, release};

/// Asks again and again, each time over a connection of its own, until it is told to stop; gives how many
/// were answered. Each must be.
async fn ask_until(machine: SocketAddr, stop: watch::Receiver<bool>) -> usize {
    let mut answered = 0;
    while !*stop.borrow() {
        let mut client = Client::connect(machine).await;
        // The balancer closes first, so that this side does not run out of ports.
        let answer = client.ask("/", &["Connection: close"]).await;
        assert_eq!(answer.status(), 200, "request {answered}");
        answered += 1;
    }
    answered
}

#[tokio::test]
async fn an_upgrade_and_the_way_back_lose_nothing_under_load() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    let first = release(&machine).await;
    let (stop, stopped) = watch::channel(false);
    let address = format!("{}:80", machine.address()).parse().unwrap();
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(ask_until(address, stopped.clone())))
        .collect();
    let second = fleet.another_program("second");
    fleet
        .must(&[
            "upgrade",
            "--yes",
            "--program",
            &second.display().to_string(),
        ])
        .await;
    assert_ne!(release(&machine).await, first);
    // What an upgrade brought stays: the fleet does not say which program.
    fleet.settle().await;
    assert_ne!(release(&machine).await, first);
    fleet.must(&["rollback", "--yes"]).await;
    assert_eq!(release(&machine).await, first);
    stop.send(true).unwrap();
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert!(answered > 100, "only {answered} requests in all that time");
    lb_tests::note(&format!(
        "{answered} requests during an upgrade and a way back, 0 failed"
    ));
}

#[tokio::test]
async fn a_release_that_does_not_serve_is_taken_back_and_the_one_before_serves_on() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    let good = release(&machine).await;
    // It says a version and ends: what an upgrade starts does not serve.
    let ends = fleet.path("ends");
    copy_with("/bin/true".as_ref(), &ends, |bytes| bytes.extend(b"bad"));
    let failed = fleet
        .lbctl(&["upgrade", "--yes", "--program", "ends"])
        .await;
    assert_eq!(failed.code(), 1, "{failed:?}");
    assert!(
        failed.stderr.contains(&format!("release {good} serves")),
        "{}",
        failed.stderr
    );
    assert!(
        failed.stderr.contains("it does not take over"),
        "{}",
        failed.stderr
    );
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    assert_eq!(release(&machine).await, good);
    // A program that does not even say its version is never put in force.
    fs::copy("/bin/false", fleet.path("fails")).unwrap();
    let refused = fleet
        .lbctl(&["upgrade", "--yes", "--program", "fails"])
        .await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused.stderr.contains("the program does not run on"),
        "{}",
        refused.stderr
    );
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    // On a machine without any, the first release may be the bad one.
    let bare = Machine::start().await;
    fleet.describe(&[("lb2", &bare, "document = \"lb.toml\"\nprogram = \"ends\"")]);
    let failed = fleet.lbctl(&["apply", "lb2", "--yes"]).await;
    assert_eq!(failed.code(), 1, "{failed:?}");
    assert!(
        failed.stderr.contains("it does not start"),
        "{}",
        failed.stderr
    );
    fleet.describe(&[("lb2", &bare, "document = \"lb.toml\"")]);
    fleet.must(&["apply", "lb2", "--yes"]).await;
    assert_eq!(get(&bare).await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn the_program_that_the_fleet_names_is_followed_and_old_ones_go() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    for name in ["a", "b", "c", "d"] {
        fleet.another_program(name);
        let more = format!("document = \"lb.toml\"\nprogram = \"{name}\"");
        fleet.describe(&[("lb1", &machine, &more)]);
        fleet.settle().await;
    }
    let kept = machine.must(&["ls", "/opt/lbctl/releases"]).await;
    assert_eq!(kept.lines().count(), 3, "{kept}");
    assert!(kept.contains(&release(&machine).await), "{kept}");
    let two = fleet.lbctl(&["upgrade", "--yes", "--program", "a"]).await;
    assert_eq!(two.code(), 2, "{two:?}");
    assert!(
        two.stderr
            .contains("the fleet names the program of lb1 already"),
        "{}",
        two.stderr
    );
}
