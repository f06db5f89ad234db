//! Balancers on hardware: a controller that speaks Redfish, and the CD that `packer/appliance/build` makes.

mod controllers;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_tests::{Finished, Redfish, eventually, run_within, within};
use rustix::process::Signal;
use serde_json::Value;

use super::resume::interrupt;
use super::{DOCUMENT, Fleet, assert_told};

/// How long one call may take: a machine starts twice, in software.
const PATIENCE: Duration = Duration::from_mins(8);

/// A fleet with one machine of hardware.
pub(super) struct Lab {
    pub(super) fleet: Fleet,
    pub(super) machine: Redfish,
}

/// The CD for hardware, as `tests/run image` has made it.
pub(super) fn image() -> PathBuf {
    let folder =
        std::env::var_os("LB_APPLIANCE").expect("LB_APPLIANCE: `tests/run image` makes it");
    PathBuf::from(folder).join("hardware/lbctl.iso")
}

impl Lab {
    pub(super) async fn of(machine: Redfish) -> Self {
        let fleet = Fleet::new().await;
        let lab = Self { fleet, machine };
        lab.describe(&image(), "");
        lab
    }

    fn describe(&self, image: &Path, more: &str) {
        self.describe_as(&self.machine.target(image, more));
    }

    fn describe_as(&self, target: &str) {
        let text = format!(
            "name = \"racks\"\n[balancers.lb1]\ndocument = \"lb.toml\"\nadmin_address = \"{}\"\ntarget = {target}\n",
            self.machine.admin_address()
        );
        fs::write(self.fleet.path("fleet.toml"), text).unwrap();
    }

    async fn lbctl(&self, args: &[&str]) -> Finished {
        run_within(PATIENCE, &mut self.fleet.command(args)).await
    }

    async fn must(&self, args: &[&str]) -> Finished {
        let finished = self.lbctl(args).await;
        let console = self.machine.console();
        assert_eq!(finished.code(), 0, "{args:?}: {finished:?}\n{console}");
        finished
    }

    /// Applies the fleet, and sees that there is nothing to do then.
    async fn settle(&self) {
        self.must(&["apply", "--yes"]).await;
        let again = self.lbctl(&["plan", "--detailed-exitcode"]).await;
        assert_eq!(
            again.code(),
            0,
            "a second plan is not empty: {}",
            again.stdout
        );
    }

    /// Asks the balancer over the network, as the settings that were left behind say.
    async fn status(&self) -> Value {
        let settings = self.fleet.path("fleet.state/balancers/lb1/settings.toml");
        let mut command = self.fleet.program();
        command.arg("--settings").arg(settings);
        command.args(["status", "-o", "json"]);
        let told = run_within(PATIENCE, &mut command).await;
        assert_eq!(told.code(), 0, "{told:?}");
        serde_json::from_str(&told.stdout).unwrap()
    }

    /// The image that it has, as `lbctl provision status` says.
    async fn image(&self) -> Value {
        let told = self.must(&["status", "-o", "json"]).await;
        let all: Value = serde_json::from_str(&told.stdout).unwrap();
        all["lb1"]["machine"]["image"].clone()
    }

    /// Another CD that does the same: what is behind the end of the image is read by nobody.
    pub(super) fn another_image(&self) -> PathBuf {
        let path = self.fleet.path("another.iso");
        let mut bytes = fs::read(image()).unwrap();
        bytes.extend([0; 2048]);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn write_document(&self, answer: &str) {
        let text = DOCUMENT.replace("\"hello\" }", &format!("\"{answer}\" }}"));
        fs::write(self.fleet.path("lb.toml"), text).unwrap();
    }
}

#[tokio::test]
async fn an_empty_machine_serves_gets_another_image_without_forgetting_and_is_switched_off() {
    let lab = Lab::of(Redfish::start().await).await;
    let began = Instant::now();
    lab.settle().await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("hello"));
    eprintln!(
        "hardware, from an empty disk to the first answer: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // Nothing is in its drive any more, and the installer said what it did.
    assert_eq!(lab.machine.media().await, None);
    let console = lab.machine.console();
    for words in ["it is empty", "installed on sda", "state: /dev/sda2"] {
        assert!(console.contains(words), "{words}: {console}");
    }
    lab.write_document("again");
    lab.settle().await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("again"));
    let before = lab.status().await["revision"]["number"].clone();
    let first = lab.image().await;
    lab.describe(&lab.another_image(), "");
    let plan = lab.must(&["plan"]).await;
    assert_told(
        &plan,
        &[
            " -> ",
            "what the balancer remembers stays",
            "nobody is served",
        ],
    );
    lab.settle().await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("again"));
    assert_eq!(lab.status().await["revision"]["number"], before);
    assert!(
        lab.machine
            .console()
            .contains("what the balancer remembers is kept")
    );
    assert_ne!(lab.image().await, first);
    let back = lab.must(&["rollback", "--yes"]).await;
    assert_told(&back, &[" -> ", "what the balancer remembers stays"]);
    assert_eq!(lab.image().await, first);
    assert_eq!(lab.machine.get().await.as_deref(), Some("again"));
    assert_eq!(lab.status().await["revision"]["number"], before);
    lab.must(&["destroy", "--confirm", "racks"]).await;
    assert!(!lab.machine.is_on().await);
    lab.must(&["destroy", "--confirm", "racks"]).await;
    // Somebody else finds whose disk it is.
    fs::rename(lab.fleet.path("fleet.state"), lab.fleet.path("lost")).unwrap();
    let tried = lab.lbctl(&["apply", "--yes"]).await;
    assert_told(&tried, &["has the balancer of somebody else", "adopt"]);
    lab.must(&["adopt", "--yes"]).await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("again"));
}

#[tokio::test]
async fn a_kill_in_each_step_leaves_a_machine_that_the_same_command_finishes() {
    let lab = Lab::of(Redfish::start_tls().await).await;
    let mut steps = BTreeSet::new();
    loop {
        let apply = ["apply", "--yes", "--events"];
        let is_new = |step: &str| !steps.contains(step);
        let tried = interrupt(&lab.fleet, &apply, Signal::KILL, is_new);
        let (step, _) = within("an interruption", PATIENCE, tried).await;
        let Some(step) = step else { break };
        steps.insert(step);
    }
    let all = ["claim", "install", "start", "enrol"].map(str::to_owned);
    assert!(steps.is_superset(&all.into()), "{steps:?}");
    lab.settle().await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("hello"));
    assert_eq!(lab.machine.media().await, None);
}

#[tokio::test]
async fn a_disk_with_something_else_is_told_by_the_installer_and_goes_only_when_asked() {
    let lab = Lab::of(Redfish::start().await).await;
    let table = "label: gpt\nsize=100MiB, name=precious\n";
    let script = format!(
        "printf '{table}' | sfdisk -q {}",
        lab.machine.disk().display()
    );
    let mut command = tokio::process::Command::new("sh");
    command
        .args(["-c", &script])
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    run_within(PATIENCE, &mut command)
        .await
        .expect_success("sfdisk");
    let tried = lab.lbctl(&["apply", "--yes"]).await;
    assert_eq!(tried.code(), 1, "{tried:?}");
    assert_told(
        &tried,
        &[
            "the installer says",
            "holds a table of partitions (GPT)",
            "wipe = true",
        ],
    );
    // It waits there for somebody who looks at its screen, without a CD.
    assert!(lab.machine.is_on().await && lab.machine.media().await.is_none());
    let disk = fs::read(lab.machine.disk()).unwrap();
    let name: Vec<u8> = "precious"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(disk[..1 << 20].windows(name.len()).any(|part| part == name));
    lab.describe(&image(), ", wipe = true");
    lab.settle().await;
    assert_eq!(lab.machine.get().await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn what_hinders_is_told_with_the_mend_and_nothing_is_done() {
    let lab = Lab::of(Redfish::start_tls().await).await;
    let good = lab.machine.target(&image(), "");
    let refused = async |target: &str, words: &[&str]| {
        lab.describe_as(target);
        let tried = lab.lbctl(&["apply", "--yes"]).await;
        assert_eq!(tried.code(), 1, "{words:?}: {tried:?}");
        assert_told(&tried, words);
        assert!(!lab.machine.is_on().await, "{words:?}");
        assert!(!tried.stderr.contains("secret"));
    };
    let pin = lab.machine.fingerprint().unwrap();
    let other = good.replace(pin, &format!("sha256:{}", "0".repeat(64)));
    refused(&other, &["is not trusted", pin, "pin it"]).await;
    let system = good.replace(", user", ", system = \"7\", user");
    refused(&system, &["no system `7`; it has 4c424354", "`system`"]).await;
    let nobody = good.replace(&lab.machine.url(), "https://127.0.0.1:1");
    refused(&nobody, &["is not reached", "see `controller`"]).await;
    let text = lab.fleet.path("text.iso");
    fs::write(&text, "no CD\n".repeat(100)).unwrap();
    let wrong = lab.machine.target(&text, "");
    refused(
        &wrong,
        &["is not the CD of the appliance", "--kernel hardware"],
    )
    .await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("\"{}\"", taken.local_addr().unwrap());
    let (before, rest) = good.split_once("media_address = ").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    let busy = format!("{before}media_address = {at},{after}");
    refused(&busy, &["cannot be served at", "ss -lntp"]).await;
    fs::write(lab.machine.password_file(), "wrong").unwrap();
    refused(&good, &["does not let the user lbctl in", "password_file"]).await;
    fs::write(lab.machine.password_file(), "secret").unwrap();
    // Whatever runs there is left alone as well.
    fs::remove_dir_all(lab.fleet.path("data")).unwrap();
    lab.machine.reset("On").await;
    eventually("it is on", async || lab.machine.is_on().await.then_some(())).await;
    lab.describe_as(&good);
    let plan = lab.lbctl(&["plan"]).await;
    assert_ne!(plan.code(), 0);
    assert_told(&plan, &["nobody knows what runs on it", "wipe = true"]);
    assert!(lab.machine.is_on().await);
}
