//! The same balancer on every target, by `lbctl provision` and by Terraform: every operation leaves the same
//! machine. A target is one test; what is done to it is the same for all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_tests::{
    Cloud, Finished, IMAGES, Machine, Redfish, Terraform, eventually, provider_block, run,
    run_within,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::vm::Lab;
use super::{DOCUMENT, Fleet, get, redfish};

/// What can be provisioned.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Ssh,
    Vm,
    Aws,
    Redfish,
}

/// How long one call may take: hardware starts twice, in software, while other tests run.
const PATIENCE: Duration = Duration::from_mins(8);

/// A machine, or what makes one.
enum Peer {
    Ssh(Box<Machine>),
    Vm(Box<Lab>),
    Aws(Box<Cloud>),
    Redfish(Box<redfish::Lab>),
}

/// What is said of the balancer, in words that are both TOML and HCL.
#[derive(Clone)]
struct Said {
    target: String,
    more: Vec<(&'static str, String)>,
}

impl Peer {
    async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Ssh => Self::Ssh(Box::new(Machine::start().await)),
            Kind::Vm => Self::Vm(Box::new(Lab::new().await)),
            Kind::Aws => Self::Aws(Box::new(Cloud::start().await)),
            Kind::Redfish => {
                Self::Redfish(Box::new(redfish::Lab::of(Redfish::start().await).await))
            }
        }
    }

    /// The balancer of the first day.
    fn first(&self) -> Said {
        match self {
            Self::Ssh(machine) => Said {
                target: machine.target(),
                more: vec![
                    ("program", "lbctl".to_owned()),
                    ("admin_address", format!("{}:9443", machine.address())),
                ],
            },
            Self::Vm(lab) => Said {
                target: lab.target("lbctl.qcow2", ""),
                more: Vec::new(),
            },
            Self::Aws(cloud) => Said {
                target: in_cloud(cloud, IMAGES[0]),
                more: Vec::new(),
            },
            Self::Redfish(lab) => Said {
                target: lab.machine.target(&redfish::image(), ""),
                more: vec![("admin_address", lab.machine.admin_address())],
            },
        }
    }

    /// The same with another program in it.
    fn upgraded(&self) -> Said {
        let mut said = self.first();
        match self {
            Self::Ssh(_) => said.more[0].1 = "other".to_owned(),
            Self::Vm(lab) => said.target = lab.target("lbctl.raw", "processors = 2, "),
            Self::Aws(cloud) => said.target = in_cloud(cloud, IMAGES[1]),
            Self::Redfish(lab) => {
                let image = lab.another_image();
                said.target = lab.machine.target(&image, "");
            }
        }
        said
    }

    /// What clients are answered.
    async fn answer(&self) -> Option<String> {
        match self {
            Self::Ssh(machine) => get(machine).await,
            Self::Vm(lab) => lab.get().await,
            Self::Aws(cloud) => {
                let machines = cloud.instances();
                let machine = machines.iter().find(|machine| machine.state == "running")?;
                let url = format!("http://{}/", machine.address);
                let got = run("curl", &["--silent", "--fail", "--max-time", "5", &url]).await;
                got.status.success().then_some(got.stdout)
            }
            Self::Redfish(lab) => lab.machine.get().await,
        }
    }

    /// Something ends that nobody meant to end.
    async fn breaks(&self) {
        match self {
            Self::Ssh(machine) => drop(machine.must(&["systemctl", "stop", "lbctl"]).await),
            Self::Vm(lab) => lab.kill().await,
            Self::Aws(cloud) => cloud.stop(&cloud.instances()[0].id),
            Self::Redfish(lab) => {
                lab.machine.reset("ForceOff").await;
                eventually("it is off", async || {
                    (!lab.machine.is_on().await).then_some(())
                })
                .await;
            }
        }
        assert_eq!(self.answer().await, None);
    }

    /// What there is of the balancer, beside what differs from run to run.
    async fn there(&self) -> Vec<String> {
        match self {
            Self::Ssh(machine) => {
                let look = "cd / && find opt/lbctl etc/lbctl etc/systemd/system/lbctl.service usr/local/bin/lbctl \
                    -printf '%p %M %u %l\\n' 2>/dev/null; systemctl is-active lbctl; systemctl is-enabled lbctl; \
                    sed 's/,\"lineage.*//' opt/lbctl/owner.json; ls -d var/lib/lbctl var/log/lbctl; id -un lbctl";
                let seen = machine.run(&["sh", "-c", look]).await.stdout;
                sorted(&seen)
            }
            Self::Vm(lab) => {
                let remembered = remembered(&lab.machine()).await;
                let processes = lab.processes().len();
                sorted(&format!("{remembered}\n{processes} processes\n"))
            }
            Self::Aws(cloud) => {
                let machines = cloud.instances();
                let states = machines.iter().map(|machine| machine.state.clone());
                let left = cloud.left();
                // Ids are by chance: what kind of thing each is counts.
                let kinds = left
                    .iter()
                    .map(|id| id.split('-').next().unwrap_or_default());
                let kinds = kinds.map(str::to_owned).chain(states);
                sorted(&kinds.collect::<Vec<_>>().join("\n"))
            }
            Self::Redfish(lab) => {
                let folder = lab.fleet.path("data/lbctl/hardware/lab/lb1");
                let remembered = remembered(&folder).await;
                let (is_on, media) = (lab.machine.is_on().await, lab.machine.media().await);
                sorted(&format!(
                    "{remembered}\non: {is_on}\nin its drive: {media:?}\n"
                ))
            }
        }
    }

    fn files(&self) -> Option<&Fleet> {
        match self {
            Self::Vm(lab) => Some(&lab.fleet),
            Self::Redfish(lab) => Some(&lab.fleet),
            Self::Ssh(_) | Self::Aws(_) => None,
        }
    }
}

/// The files that are kept of a machine, and what they say beside what is by chance.
async fn remembered(folder: &Path) -> String {
    let folder_name = folder.to_str().expect("UTF-8");
    let files = run("find", &[folder_name, "-printf", "%P %M\n"]).await;
    let kept = fs::read_to_string(folder.join("machine.json")).unwrap_or_default();
    let mut kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    // Whose it was, too: Terraform goes on as the same owner, where a state that was lost begins another one.
    let by_chance = [
        ("instance", ""),
        ("owner", "lineage"),
        ("forwards", ""),
        ("adopts", ""),
    ];
    for (key, by_chance) in by_chance {
        match (by_chance, kept.get_mut(key)) {
            ("", Some(value)) => *value = Value::Null,
            (below, Some(value)) => value[below] = Value::Null,
            (_, None) => {}
        }
    }
    format!("{}{kept}", files.stdout)
}

/// A machine of the cloud, in words that are both TOML and HCL.
fn in_cloud(cloud: &Cloud, image: &str) -> String {
    format!(
        "{{ aws = {{ region = \"eu-central-1\", image = \"{image}\", endpoint = \"{}\", \
         admin_networks = [\"198.19.0.0/16\"], start_timeout = \"60s\", services = [{{ port = 80 }}] }} }}",
        cloud.endpoint()
    )
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Who provisions.
enum Tool {
    Cli(PathBuf),
    Terraform(Terraform),
}

impl Tool {
    /// Both, each in a folder with the program and the document.
    fn new(name: &str, fleet: &Fleet) -> Self {
        if name == "cli" {
            return Self::Cli(fleet.path(""));
        }
        let mut terraform = Terraform::new();
        terraform.write("provider.tf", &provider_block(""));
        fs::copy(fleet.path("lbctl"), terraform.path("lbctl")).expect("the program");
        terraform.set("XDG_DATA_HOME", &fleet.path("data").display().to_string());
        terraform.set("TF_LOG_PROVIDER", "INFO");
        terraform.set(
            "TF_LOG_PATH",
            &terraform.path("steps.log").display().to_string(),
        );
        Self::Terraform(terraform)
    }

    fn path(&self, file: &str) -> PathBuf {
        match self {
            Self::Cli(folder) => folder.join(file),
            Self::Terraform(terraform) => terraform.path(file),
        }
    }

    fn say(&self, said: &Said, document: &str) {
        fs::write(self.path("lb.toml"), document).expect("the document");
        let lines = said
            .more
            .iter()
            .map(|(key, value)| format!("{key} = \"{value}\"\n"));
        let more = lines.collect::<Vec<_>>().concat();
        let body = format!("target = {}\ndocument = \"lb.toml\"\n{more}", said.target);
        let (file, text) = match self {
            Self::Cli(_) => (
                "fleet.toml",
                format!("name = \"lab\"\n[balancers.lb1]\n{body}"),
            ),
            Self::Terraform(_) => (
                "main.tf",
                format!(
                    "resource \"lbctl_balancer\" \"lb1\" {{\nname = \"lb1\"\nfleet = \"lab\"\n{body}}}\n"
                ),
            ),
        };
        fs::write(self.path(file), text).expect("a configuration");
    }

    fn command(&self, fleet: &Fleet, cli: &[&str], terraform: &[&str]) -> tokio::process::Command {
        let mut command = match self {
            Self::Cli(_) => fleet.command(cli),
            Self::Terraform(program) => program.command(terraform),
        };
        command.envs(Cloud::credentials());
        command
    }

    async fn run(&self, fleet: &Fleet, cli: &[&str], terraform: &[&str]) -> Finished {
        run_within(PATIENCE, &mut self.command(fleet, cli, terraform)).await
    }

    /// Applies what is said, and sees that there is nothing to do then.
    async fn settle(&self, fleet: &Fleet, when: &str) {
        let apply = ["apply", "-auto-approve", "-no-color", "-lock=false"];
        let applied = self.run(fleet, &["apply", "--yes"], &apply).await;
        applied.expect_success(when);
        let plan = ["plan", "-no-color", "-detailed-exitcode"];
        let again = self
            .run(fleet, &["plan", "--detailed-exitcode"], &plan)
            .await;
        assert_eq!(
            again.code(),
            0,
            "{when}, a second plan: {}{}",
            again.stdout,
            again.stderr
        );
    }

    /// Applies, and is killed in this step.
    async fn killed(&self, fleet: &Fleet, step: &str) {
        let apply = ["apply", "-auto-approve", "-no-color", "-lock=false"];
        let mut command = self.command(fleet, &["apply", "--yes", "--events"], &apply);
        let events = fs::File::create(self.path("events")).expect("a file");
        command.stdout(events).stderr(std::process::Stdio::null());
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("a run");
        eventually("the step has begun", async || {
            let (file, cli, terraform) = (
                "events",
                format!("\"step\":\"{step}\""),
                format!("step={step}"),
            );
            let begun = fs::read_to_string(self.path(file)).is_ok_and(|text| text.contains(&cli));
            let logged = fs::read_to_string(self.path("steps.log"))
                .is_ok_and(|text| text.contains(&terraform));
            (begun || logged).then_some(())
        })
        .await;
        let id = Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("a process");
        kill_process_group(id, Signal::KILL).expect("a kill");
        child.wait().await.expect("an end");
    }

    /// Forgets everything, and takes the machine up again.
    async fn adopt(&self, fleet: &Fleet) {
        let kept = if matches!(self, Self::Cli(_)) {
            "fleet.state"
        } else {
            "terraform.tfstate"
        };
        fs::rename(self.path(kept), self.path("lost")).expect("a state");
        let import = ["import", "-no-color", "lbctl_balancer.lb1", "lab/lb1"];
        let adopted = self.run(fleet, &["adopt", "--yes"], &import).await;
        adopted.expect_success("take it up again");
    }
}

/// One target, with one tool: what is seen after each operation.
async fn life(
    kind: Kind,
    step: &str,
    name: &str,
) -> Vec<(&'static str, Vec<String>, Option<String>)> {
    let peer = Peer::start(kind).await;
    let own;
    let fleet = if let Some(fleet) = peer.files() {
        fleet
    } else {
        own = Fleet::new().await;
        &own
    };
    let tool = Tool::new(name, fleet);
    let mut bytes = fs::read(fleet.path("lbctl")).expect("the program");
    bytes.extend(b"other");
    fs::copy(fleet.path("lbctl"), tool.path("other")).expect("a copy");
    fs::write(tool.path("other"), bytes).expect("another program");
    let mut seen = Vec::new();
    let again = DOCUMENT.replace("\"hello\" }", "\"again\" }");
    tool.say(&peer.first(), DOCUMENT);
    tool.killed(fleet, step).await;
    tool.settle(fleet, "a create that was interrupted").await;
    seen.push(("created", peer.there().await, peer.answer().await));
    tool.say(&peer.first(), &again);
    tool.settle(fleet, "another document").await;
    seen.push(("document", peer.there().await, peer.answer().await));
    tool.say(&peer.upgraded(), &again);
    tool.settle(fleet, "another program").await;
    seen.push(("upgraded", peer.there().await, peer.answer().await));
    peer.breaks().await;
    tool.settle(fleet, "what broke").await;
    seen.push(("healed", peer.there().await, peer.answer().await));
    // Going back is to say what was said before; the machine has it still.
    tool.say(&peer.first(), &again);
    tool.settle(fleet, "the program before").await;
    seen.push(("back", peer.there().await, peer.answer().await));
    tool.adopt(fleet).await;
    tool.settle(fleet, "what was lost").await;
    seen.push(("adopted", peer.there().await, peer.answer().await));
    let destroy = ["destroy", "-auto-approve", "-no-color", "-lock=false"];
    let destroyed = tool
        .run(fleet, &["destroy", "--confirm", "lab"], &destroy)
        .await;
    destroyed.expect_success("destroy");
    seen.push(("destroyed", peer.there().await, peer.answer().await));
    seen
}

#[tokio::test]
async fn every_operation_on_a_machine_over_ssh_leaves_the_same_by_either_way() {
    compare(Kind::Ssh, "release").await;
}

#[tokio::test]
async fn every_operation_on_a_virtual_machine_leaves_the_same_by_either_way() {
    compare(Kind::Vm, "start").await;
}

#[tokio::test]
async fn every_operation_on_a_machine_of_ec2_leaves_the_same_by_either_way() {
    compare(Kind::Aws, "machine").await;
}

#[tokio::test]
async fn every_operation_on_hardware_leaves_the_same_by_either_way() {
    compare(Kind::Redfish, "install").await;
}

/// Lives the same life twice; the run of the first day is killed in this step.
async fn compare(kind: Kind, step: &str) {
    let by_cli = life(kind, step, "cli").await;
    let by_terraform = life(kind, step, "terraform").await;
    for ((operation, cli, answer), (_, terraform, other)) in by_cli.iter().zip(&by_terraform) {
        assert_eq!(cli, terraform, "{kind:?} {operation}");
        assert_eq!(answer, other, "{kind:?} {operation}");
    }
    let answers: Vec<_> = by_cli
        .iter()
        .map(|(_, _, answer)| answer.as_deref())
        .collect();
    let again = Some("again");
    assert_eq!(
        answers,
        [Some("hello"), again, again, again, again, again, None],
        "{kind:?}"
    );
}
