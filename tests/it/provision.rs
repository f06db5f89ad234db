//! Balancers on machines: real systemd and real sshd, in namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use lb_tests::{Finished, Machine, lbctl_path, run, run_within};
use serde_json::Value;
use tokio::process::Command;

mod aws;
mod cluster;
mod conformance;
mod documents;
mod life;
mod redfish;
mod refusals;
mod resume;
mod upgrades;
mod vm;

/// Answers by itself: no server is needed.
const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "0.0.0.0:80"

[[virtual_services.shop.rules]]
name = "hello"
action = { respond = { status = 200, body = "hello" } }
"#;

/// A fleet, and where whoever provisions it is.
struct Fleet {
    folder: tempfile::TempDir,
    /// What else is in the environment of whoever provisions.
    variables: Vec<(&'static str, String)>,
}

impl Fleet {
    /// A directory with a document, and the program as an operator has it: without what debuggers read.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lb.toml"), DOCUMENT).unwrap();
        let fleet = Self {
            folder,
            variables: Vec::new(),
        };
        let (from, to) = (lbctl_path(), fleet.path("lbctl"));
        let strip = ["-o", &to.display().to_string(), &from.display().to_string()];
        run("strip", &strip).await.expect_success("strip");
        fleet
    }

    /// The same with this machine as the balancer lb1.
    async fn of(machine: &Machine) -> Self {
        let fleet = Self::new().await;
        fleet.describe(&[("lb1", machine, "document = \"lb.toml\"")]);
        fleet
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes the document of the fleet: the name of each balancer, its machine, and what else is said.
    fn describe(&self, balancers: &[(&str, &Machine, &str)]) {
        let mut text = "name = \"production\"\n".to_owned();
        for (name, machine, more) in balancers {
            let target = machine.target();
            text.extend([
                "[balancers.",
                name,
                "]\ntarget = ",
                &target,
                "\n",
                more,
                "\n",
            ]);
        }
        fs::write(self.path("fleet.toml"), text).unwrap();
    }

    /// The program; files of virtual machines are below the directory of the fleet.
    fn program(&self) -> Command {
        let mut command = Command::new(self.path("lbctl"));
        command.env("XDG_DATA_HOME", self.path("data"));
        let variables = std::env::vars_os().map(|(name, _)| name);
        for name in variables.filter(|name| name.to_string_lossy().starts_with("LBCTL_")) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path());
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program();
        command.args([&["provision"], args].concat());
        command
    }

    /// Runs `lbctl provision` in the directory of the fleet.
    async fn lbctl(&self, args: &[&str]) -> Finished {
        run_within(PATIENCE, &mut self.command(args)).await
    }

    /// The same, which must work.
    async fn must(&self, args: &[&str]) -> Finished {
        let finished = self.lbctl(args).await;
        assert_eq!(
            finished.code(),
            0,
            "{args:?}: {}\n{}",
            finished.stdout,
            finished.stderr
        );
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

    async fn json(&self, args: &[&str]) -> Value {
        let finished = self.must(&[args, &["-o", "json"]].concat()).await;
        serde_json::from_str(&finished.stdout).unwrap()
    }

    /// The program with something at its end: another one that does the same.
    fn another_program(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        copy_with(&self.path("lbctl"), &path, |bytes| {
            bytes.extend(name.as_bytes());
        });
        path
    }
}

/// How long one call may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(5);

fn assert_told(finished: &Finished, words: &[&str]) {
    for word in words {
        let told = [finished.stdout.as_str(), &finished.stderr].concat();
        assert!(told.contains(word), "{word}: {told}");
    }
}

/// A copy of a program with a change in it.
fn copy_with(from: &Path, to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(from).unwrap();
    change(&mut bytes);
    fs::copy(from, to).unwrap();
    fs::write(to, bytes).unwrap();
}

/// What the balancer on a machine answers, when it does.
async fn get(machine: &Machine) -> Option<String> {
    let url = format!("http://{}/", machine.address());
    let got = run("curl", &["--silent", "--fail", "--max-time", "5", &url]).await;
    got.status.success().then_some(got.stdout)
}

/// The release that is in force on a machine.
async fn release(machine: &Machine) -> String {
    let link = machine.must(&["readlink", "/opt/lbctl/current"]).await;
    link.trim().strip_prefix("releases/").unwrap().to_owned()
}

/// That nothing is left of a balancer.
async fn assert_gone(machine: &Machine) {
    for path in [
        "/opt/lbctl",
        "/etc/lbctl",
        "/var/lib/lbctl",
        "/var/log/lbctl",
        "/usr/local/bin/lbctl",
        "/etc/systemd/system/lbctl.service",
        "/etc/systemd/system/multi-user.target.wants/lbctl.service",
    ] {
        assert!(!machine.has(path).await, "{path} is left");
    }
    for database in ["passwd", "group"] {
        let found = machine.run(&["getent", database, "lbctl"]).await;
        assert_eq!(found.stdout, "", "{database}");
    }
    assert_eq!(get(machine).await, None);
}
