//! Interruptions: whatever was going on, the same command goes on where it was.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use lb_tests::{Machine, within};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{Fleet, assert_gone, get};

/// Starts a command and sends it a signal when a step begins of which `is_it` says that it is the one.
/// Gives the word for the step, or nothing when there was none, and the exit code if it had one.
pub(super) async fn interrupt(
    fleet: &Fleet,
    args: &[&str],
    signal: Signal,
    is_it: impl Fn(&str) -> bool,
) -> (Option<String>, Option<i32>) {
    interrupt_command(&mut fleet.command(args), signal, is_it).await
}

/// The same with a command that is ready to start.
pub(super) async fn interrupt_command(
    command: &mut Command,
    signal: Signal,
    is_it: impl Fn(&str) -> bool,
) -> (Option<String>, Option<i32>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut interrupted = None;
    // A step on hardware tells little while its machine starts, and that takes its time.
    let patience = Duration::from_mins(5);
    while let Some(line) = within("an event", patience, lines.next_line())
        .await
        .unwrap()
    {
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let step = event["step"].as_str().unwrap_or_default();
        if event["event"] == "started" && interrupted.is_none() && is_it(step) {
            interrupted = Some(step.to_owned());
            let id = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
            kill_process(id, signal).unwrap();
        }
    }
    let status = within("its end", patience, child.wait()).await.unwrap();
    (interrupted, status.code())
}

/// The step that the journal says has begun and not ended.
fn unfinished(fleet: &Fleet) -> Option<String> {
    let journal = fs::read_to_string(fleet.path("fleet.state/journal.jsonl")).unwrap();
    let last: Value = serde_json::from_str(journal.lines().last()?).unwrap();
    let step = last["step"].as_str().unwrap().to_owned();
    (last["phase"] == "begun").then_some(step)
}

#[tokio::test]
async fn a_kill_in_each_step_leaves_nothing_that_the_same_command_does_not_finish() {
    let machine = Machine::start().await;
    let fleet = Fleet::new().await;
    let more = format!(
        "document = \"lb.toml\"\nadmin_address = \"{}:9443\"",
        machine.address()
    );
    fleet.describe(&[("lb1", &machine, &more)]);
    let (mut steps, mut unfinished_steps) = (Vec::new(), Vec::new());
    loop {
        let apply = ["apply", "--yes", "--events"];
        let is_new = |step: &str| !steps.iter().any(|known| known == step);
        let (step, _) = interrupt(&fleet, &apply, Signal::KILL, is_new).await;
        let Some(step) = step else { break };
        // A quick step may have ended before the signal came: the journal knows.
        let told = fleet.lbctl(&["plan"]).await.stdout;
        let unfinished = unfinished(&fleet);
        let said = unfinished
            .as_ref()
            .map(|step| format!("was interrupted in the step `{step}`"));
        assert_eq!(
            told.contains("was interrupted"),
            said.is_some_and(|said| told.contains(&said)),
            "{told}"
        );
        unfinished_steps.extend(unfinished);
        steps.push(step);
    }
    let all = [
        "claim", "account", "release", "unit", "file", "switch", "access",
    ];
    assert_eq!(steps, all);
    // These two take so long that no signal comes too late.
    for step in ["release", "switch"] {
        assert!(unfinished_steps.iter().any(|found| found == step), "{step}");
    }
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    // Taking it away is interrupted, too, and finished; the machine may finish it by itself.
    let destroy = ["destroy", "--confirm", "production", "--events"];
    let (step, _) = interrupt(&fleet, &destroy, Signal::KILL, |_| true).await;
    assert_eq!(step.as_deref(), Some("destroy"));
    fleet.must(&["destroy", "--confirm", "production"]).await;
    assert_gone(&machine).await;
    let state = fs::read_to_string(fleet.path("fleet.state/state.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["balancers"], serde_json::json!({}));
    assert!(!fleet.path("fleet.state/balancers/lb1").exists());
}

#[tokio::test]
async fn an_interrupt_finishes_the_step_and_begins_no_other() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    let apply = ["apply", "--yes", "--events"];
    let (step, code) = interrupt(&fleet, &apply, Signal::INT, |step| step == "release").await;
    assert_eq!((step.as_deref(), code), (Some("release"), Some(1)));
    // The release is whole, and nothing serves yet.
    let releases = machine.must(&["ls", "/opt/lbctl/releases"]).await;
    assert_eq!(releases.lines().count(), 1, "{releases}");
    assert!(!machine.has("/etc/systemd/system/lbctl.service").await);
    let told = fleet.lbctl(&["plan"]).await.stdout;
    assert!(!told.contains("was interrupted"), "{told}");
    assert!(
        !told.contains("MiB"),
        "the release would be sent again: {told}"
    );
    fleet.settle().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn a_connection_that_dies_in_the_middle_of_an_upgrade_leaves_it_whole() {
    let machine = Machine::start().await;
    let fleet = Fleet::of(&machine).await;
    fleet.settle().await;
    let program = fleet.another_program("second").display().to_string();
    let upgrade = ["upgrade", "--yes", "--events", "--program", &program];
    let (step, _) = interrupt(&fleet, &upgrade, Signal::KILL, |step| step == "switch").await;
    assert_eq!(step.as_deref(), Some("switch"));
    machine.must(&["pkill", "-f", "sshd: root"]).await;
    fleet
        .must(&["upgrade", "--yes", "--program", &program])
        .await;
    let again = fleet
        .must(&["upgrade", "--yes", "--program", &program])
        .await;
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
}
