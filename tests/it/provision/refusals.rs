//! What stands in the way is named, with the mend, and changes nothing.

use std::fs;

use lb_tests::{Machine, free_port};

use super::{Fleet, copy_with, get, release};

/// That a plan of this fleet says all of this about a balancer, and that an apply changes nothing.
async fn assert_refused(fleet: &Fleet, says: &[&str]) {
    let planned = fleet.lbctl(&["plan"]).await;
    assert_eq!(planned.code(), 1, "{planned:?}");
    let text = planned
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for part in says {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let applied = fleet.lbctl(&["apply", "--yes"]).await;
    assert_eq!(applied.code(), 1, "{applied:?}");
    assert!(
        applied.stderr.contains("nothing was changed"),
        "{}",
        applied.stderr
    );
}

fn describe(fleet: &Fleet, target: &str, more: &str) {
    let text = format!("name = \"production\"\n[balancers.lb1]\ntarget = {target}\n{more}\n");
    fs::write(fleet.path("fleet.toml"), text).unwrap();
}

#[tokio::test]
async fn machines_that_cannot_be_reached_or_trusted_are_named() {
    let machine = Machine::start().await;
    let fleet = Fleet::new().await;
    let nobody = free_port();
    describe(
        &fleet,
        &format!(
            "{{ ssh = {{ host = \"127.0.0.1\", port = {} }} }}",
            nobody.port()
        ),
        "",
    );
    assert_refused(
        &fleet,
        &[
            "127.0.0.1 cannot be reached",
            "Connection refused",
            "that the machine is up",
        ],
    )
    .await;
    let target = machine.target();
    let other = target.replace(
        &machine.host_key(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbHqzKtnu6OHfb1QSJ1tzuE8mHI1ILmYLMTI5VXYmxr",
    );
    describe(&fleet, &other, "");
    assert_refused(
        &fleet,
        &["shows another host key than it should", "ssh-keygen -lf"],
    )
    .await;
    let unknown = target.replace(&format!(", host_key = \"{}\"", machine.host_key()), "");
    assert_ne!(unknown, target);
    describe(&fleet, &unknown, "");
    assert_refused(
        &fleet,
        &["nobody here knows the host key", "ssh-keyscan -t ed25519"],
    )
    .await;
    describe(&fleet, &machine.target_as("nobody-there"), "");
    assert_refused(
        &fleet,
        &["lets nobody in", "Permission denied", "`identity_file`"],
    )
    .await;
    describe(&fleet, &machine.target_as("guest"), "");
    assert_refused(&fleet, &["is not root", "NOPASSWD"]).await;
    assert!(!machine.has("/opt/lbctl").await);
    let doctor = fleet.lbctl(&["doctor"]).await;
    assert_eq!(doctor.code(), 1);
    assert!(doctor.stdout.contains("bad   lb1"), "{}", doctor.stdout);
}

#[tokio::test]
async fn a_machine_without_room_or_of_another_kind_is_named() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    // The processor that the program is for, in the header of the file: ARM64.
    copy_with(&fleet.path("lbctl"), &fleet.path("arm64"), |bytes| {
        bytes.splice(18..20, [183, 0]);
    });
    describe(&fleet, &machine.target(), "program = \"arm64\"");
    assert_refused(
        &fleet,
        &[
            "the program is for aarch64, and the machine is x86_64",
            "`program`",
        ],
    )
    .await;
    fs::write(fleet.path("text"), "#!/bin/sh\n").unwrap();
    describe(&fleet, &machine.target(), "program = \"text\"");
    let text = fleet.lbctl(&["plan"]).await;
    assert_eq!(text.code(), 2, "{text:?}");
    assert!(
        text.stderr.contains("is not a program for Linux"),
        "{}",
        text.stderr
    );

    machine.must(&["mkdir", "-p", "/opt"]).await;
    machine
        .must(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/opt"])
        .await;
    describe(&fleet, &machine.target(), "");
    let full = fleet.lbctl(&["apply", "--yes"]).await;
    assert_eq!(full.code(), 1, "{full:?}");
    assert!(full.stderr.contains("has no room"), "{}", full.stderr);
    assert!(full.stderr.contains("df -h /opt"), "{}", full.stderr);
    machine
        .must(&["mount", "-o", "remount,size=200m", "/opt"])
        .await;
    fleet.must(&["apply", "--yes"]).await;
    assert_eq!(
        machine
            .must(&["systemctl", "is-active", "lbctl"])
            .await
            .trim(),
        "active"
    );
}

#[tokio::test]
async fn a_machine_of_another_fleet_or_of_a_lost_state_is_only_taken_over_when_asked() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    let served = release(&machine).await;
    fs::rename(fleet.path("fleet.state"), fleet.path("lost")).unwrap();
    assert_refused(
        &fleet,
        &["it belongs to somebody else", "lbctl provision adopt"],
    )
    .await;
    let destroyed = fleet.lbctl(&["destroy", "--confirm", "production"]).await;
    assert_eq!(destroyed.code(), 1, "{destroyed:?}");
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    let running = machine.must(&["pgrep", "-x", "lbctl"]).await;
    fleet.must(&["adopt", "--yes"]).await;
    fleet.settle().await;
    assert_eq!(
        machine.must(&["pgrep", "-x", "lbctl"]).await,
        running,
        "it was started anew"
    );
    assert_eq!(release(&machine).await, served);
    // Whoever still has the state from before is told now.
    fs::rename(fleet.path("fleet.state"), fleet.path("new")).unwrap();
    fs::rename(fleet.path("lost"), fleet.path("fleet.state")).unwrap();
    assert_refused(&fleet, &["it belongs to somebody else"]).await;
    // And a state of another fleet is none of ours.
    let text = fs::read_to_string(fleet.path("fleet.toml")).unwrap();
    fs::write(
        fleet.path("fleet.toml"),
        text.replace("production", "staging"),
    )
    .unwrap();
    let other = fleet.lbctl(&["plan"]).await;
    assert_eq!(other.code(), 1, "{other:?}");
    assert!(
        other
            .stderr
            .contains("is that of the fleet production, not of staging"),
        "{}",
        other.stderr
    );
}

#[tokio::test]
async fn a_balancer_that_was_installed_in_another_way_is_only_taken_over_when_asked() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    machine
        .must(&["useradd", "--system", "--no-create-home", "lbctl"])
        .await;
    machine.must(&["mkdir", "-p", "/etc/lbctl"]).await;
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../packer/files/lbctl.service");
    machine.put(&fleet.path("lbctl"), "/usr/bin/lbctl");
    machine.put(unit.as_ref(), "/usr/lib/systemd/system/lbctl.service");
    machine.put(&fleet.path("lb.toml"), "/etc/lbctl/lb.toml");
    machine.must(&["systemctl", "daemon-reload"]).await;
    machine.must(&["systemctl", "start", "lbctl"]).await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    assert_refused(&fleet, &["was installed in another way", "adopt"]).await;
    fleet.must(&["adopt", "--yes"]).await;
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    assert_eq!(
        machine.must(&["ls", "/opt/lbctl/releases"]).await.trim(),
        release(&machine).await
    );
}

#[tokio::test]
async fn the_state_is_used_by_one_at_a_time_and_damage_is_told() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.must(&["plan"]).await;
    let lock = fs::File::open(fleet.path("fleet.state/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let locked = fleet.lbctl(&["plan"]).await;
    assert_eq!(locked.code(), 1);
    assert!(
        locked.stderr.contains("is in use by process "),
        "{}",
        locked.stderr
    );
    drop(lock);
    let state = fleet.path("fleet.state/state.json");
    let good = fs::read_to_string(&state).unwrap();
    fs::write(&state, good.trim_end().trim_end_matches('}')).unwrap();
    let damaged = fleet.lbctl(&["plan"]).await;
    assert_eq!(damaged.code(), 1);
    assert!(
        damaged.stderr.contains("state.json` cannot be read"),
        "{}",
        damaged.stderr
    );
    assert!(
        damaged.stderr.contains("lbctl provision adopt"),
        "{}",
        damaged.stderr
    );
    fs::write(&state, good.replace("\"schema\": 1", "\"schema\": 2")).unwrap();
    let later = fleet.lbctl(&["plan"]).await;
    assert!(
        later.stderr.contains("written by a later version"),
        "{}",
        later.stderr
    );
    fs::write(&state, good).unwrap();
    let unknown = fleet.lbctl(&["plan", "lb2"]).await;
    assert_eq!(unknown.code(), 2);
    assert!(
        unknown.stderr.contains("did you mean `lb1`?"),
        "{}",
        unknown.stderr
    );
}
