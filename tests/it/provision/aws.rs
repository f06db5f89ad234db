//! Balancers on machines of EC2: a cloud of our own whose machines run the real program.

use std::collections::BTreeSet;
use std::fs;

use lb_tests::{Cloud, Faults, IMAGES, eventually, run, run_within};
use rustix::process::Signal;

use super::resume::interrupt_command;
use super::{DOCUMENT, Fleet, PATIENCE, assert_told};

/// A fleet with one machine in a cloud.
struct Account {
    fleet: Fleet,
    cloud: Cloud,
}

const SERVICES: &str = "services = [{ port = 80 }]";

impl Account {
    async fn new() -> Self {
        let mut fleet = Fleet::new().await;
        let home = fleet.path("home").display().to_string();
        fleet.variables.push(("HOME", home));
        let credentials = Cloud::credentials();
        let credentials = credentials.map(|(name, value)| (name, value.to_owned()));
        fleet.variables.extend(credentials);
        let account = Self {
            fleet,
            cloud: Cloud::start().await,
        };
        account.describe(IMAGES[0], SERVICES);
        account
    }

    fn describe(&self, image: &str, more: &str) {
        let target = self.cloud.target("balancers.lb1.target.aws", image, more);
        let text = format!("name = \"shop\"\n[balancers.lb1]\ndocument = \"lb.toml\"\n{target}");
        fs::write(self.fleet.path("fleet.toml"), text).unwrap();
    }

    /// Applies the fleet, and sees that there is nothing to do then, and one machine.
    async fn settle(&self) {
        self.fleet.settle().await;
        assert_eq!(self.cloud.instances().len(), 1);
    }

    async fn refused(&self, words: &[&str]) {
        let told = self.fleet.lbctl(&["apply", "--yes"]).await;
        assert_ne!(told.code(), 0, "{told:?}");
        assert_told(&told, words);
    }

    /// The machine that there is.
    fn machine(&self) -> String {
        self.cloud.instances()[0].id.clone()
    }

    async fn status(&self) -> serde_json::Value {
        let told = self.fleet.must(&["status", "-o", "json"]).await;
        let all: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        all["lb1"]["machine"].clone()
    }

    /// What the balancer answers where it is reached now, when it does.
    async fn get(&self) -> Option<String> {
        let status = self.status().await;
        let url = format!("http://{}/", status["address"].as_str()?);
        let got = run("curl", &["--silent", "--fail", "--max-time", "5", &url]).await;
        got.status.success().then_some(got.stdout)
    }

    async fn destroy(&self) {
        self.fleet.must(&["destroy", "--confirm", "shop"]).await;
        assert_eq!(self.cloud.left(), [""; 0]);
    }
}

#[tokio::test]
async fn a_machine_is_made_serves_is_changed_live_and_taken_away() {
    let account = Account::new().await;
    account.settle().await;
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    let machine = account.machine();
    let changed = DOCUMENT.replace("\"hello\" }", "\"again\" }");
    fs::write(account.fleet.path("lb.toml"), changed).unwrap();
    account.settle().await;
    assert_eq!(account.get().await.as_deref(), Some("again"));
    // Ports, tags and the elastic address change beside a machine that goes on.
    let more = "services = [{ port = 80 }, { port = 443, networks = [\"198.19.0.0/16\"] }]\n\
                elastic_address = true\ntags = { team = \"web\" }";
    account.describe(IMAGES[0], more);
    account.settle().await;
    let with_elastic = account.status().await["address"].clone();
    assert_eq!(account.get().await.as_deref(), Some("again"));
    let groups = account.cloud.ask("DescribeSecurityGroups", &[]);
    assert!(groups.contains("<toPort>443</toPort>"), "{groups}");
    // Another type needs a stop, and the plan says so.
    account.describe(IMAGES[0], &format!("{more}\ninstance_type = \"c5.large\""));
    let plan = account.fleet.must(&["plan"]).await;
    assert_told(&plan, &["type t3.small -> c5.large", "nobody is served"]);
    account.settle().await;
    assert_eq!(account.machine(), machine);
    assert_eq!(account.status().await["address"], with_elastic);
    assert_eq!(account.get().await.as_deref(), Some("again"));
    account.describe(
        IMAGES[0],
        &format!("{SERVICES}\ninstance_type = \"c5.large\""),
    );
    account.settle().await;
    account.destroy().await;
    account.fleet.must(&["destroy", "--confirm", "shop"]).await;
}

#[tokio::test]
async fn another_image_takes_over_when_it_is_well_and_a_bad_one_changes_nothing() {
    let account = Account::new().await;
    let more = format!("{SERVICES}\nelastic_address = true");
    account.describe(IMAGES[0], &more);
    account.settle().await;
    let (first, address) = (account.machine(), account.status().await["address"].clone());
    account.describe(IMAGES[1], &more);
    let plan = account.fleet.must(&["plan"]).await;
    assert_told(
        &plan,
        &["beside the one that serves", "the elastic address moves"],
    );
    account.settle().await;
    assert_ne!(account.machine(), first);
    assert_eq!(account.status().await["address"], address);
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    let second = account.machine();
    account.describe(IMAGES[2], &more.replace("start_timeout = \"60s\"", ""));
    let text = fs::read_to_string(account.fleet.path("fleet.toml")).unwrap();
    fs::write(
        account.fleet.path("fleet.toml"),
        text.replace("\"60s\"", "\"5s\""),
    )
    .unwrap();
    account
        .refused(&[
            "bad image",
            "no operating system was found",
            "the one before serves on",
        ])
        .await;
    assert_eq!(account.machine(), second);
    account.describe(IMAGES[1], &more);
    account.settle().await;
    account.fleet.must(&["rollback", "--yes"]).await;
    assert_eq!(account.status().await["image"], IMAGES[0]);
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    account.destroy().await;
}

#[tokio::test]
async fn a_kill_in_each_step_leaves_one_machine_that_the_same_command_finishes() {
    let account = Account::new().await;
    account.describe(IMAGES[0], &format!("{SERVICES}\nelastic_address = true"));
    account.cloud.faults(Faults {
        unseen: 2,
        slow: 2,
        ..Faults::default()
    });
    let mut steps = BTreeSet::new();
    loop {
        let mut apply = account.fleet.command(&["apply", "--yes", "--events"]);
        let is_new = |step: &str| !steps.contains(step);
        let (step, _) = interrupt_command(&mut apply, Signal::KILL, is_new).await;
        let Some(step) = step else { break };
        assert!(account.cloud.instances().len() <= 1);
        steps.insert(step);
    }
    let all = ["group", "allocate", "machine", "address", "enrol"].map(str::to_owned);
    assert!(steps.is_superset(&all.into()), "{steps:?}");
    account.settle().await;
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    let mut destroy = account
        .fleet
        .command(&["destroy", "--confirm", "shop", "--events"]);
    interrupt_command(&mut destroy, Signal::KILL, |_| true).await;
    account.destroy().await;
}

#[tokio::test]
async fn a_launch_whose_answer_is_lost_makes_no_second_machine() {
    let account = Account::new().await;
    account.cloud.faults(Faults {
        cut: Some("RunInstances".to_owned()),
        unseen: 3,
        slow: 2,
        throttle_every: 7,
        ..Faults::default()
    });
    account.settle().await;
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    account.cloud.faults(Faults {
        in_use: 2,
        throttle_every: 5,
        ..Faults::default()
    });
    account.destroy().await;
}

#[tokio::test]
async fn a_lost_state_loses_no_machine_and_one_that_stopped_or_was_taken_away_comes_back() {
    let account = Account::new().await;
    account.settle().await;
    let machine = account.machine();
    account.cloud.stop(&machine);
    let told = account.fleet.lbctl(&["status"]).await;
    assert_ne!(told.code(), 0);
    assert_told(&told, &["stopped"]);
    account.settle().await;
    assert_eq!(account.machine(), machine);
    fs::rename(
        account.fleet.path("fleet.state"),
        account.fleet.path("lost"),
    )
    .unwrap();
    account
        .refused(&["belongs to somebody else", "lbctl provision adopt"])
        .await;
    account.fleet.must(&["adopt", "--yes"]).await;
    account.settle().await;
    assert_eq!(account.machine(), machine);
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    account
        .cloud
        .take_away(&machine, "Server.SpotInstanceTermination");
    let plan = account.fleet.must(&["plan"]).await;
    assert_told(&plan, &["EC2 took the spot machine away", &machine]);
    account.settle().await;
    assert_ne!(account.machine(), machine);
    assert_eq!(account.get().await.as_deref(), Some("hello"));
    account.destroy().await;
}

#[tokio::test]
async fn what_aws_refuses_is_told_with_the_mend_and_makes_nothing() {
    let account = Account::new().await;
    for (action, code, message, words) in [
        (
            "RunInstances",
            "UnauthorizedOperation",
            "You are not authorized to perform this operation.",
            ["does not permit `ec2:RunInstances`", "to the policy"],
        ),
        (
            "RunInstances",
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity than your limit of 1",
            ["may have no more", "Service Quotas"],
        ),
        (
            "RunInstances",
            "InsufficientInstanceCapacity",
            "We currently do not have sufficient capacity",
            ["no such machine free", "instance_type"],
        ),
        (
            "*",
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            [
                "does not accept the credentials",
                "aws sts get-caller-identity",
            ],
        ),
        (
            "*",
            "ExpiredToken",
            "The security token included in the request is expired",
            ["ExpiredToken", "log in again"],
        ),
    ] {
        account.cloud.faults(Faults {
            refused: Some((action.to_owned(), code.to_owned(), message.to_owned())),
            ..Faults::default()
        });
        account.refused(&words).await;
        assert!(account.cloud.instances().is_empty(), "{code}");
    }
    account.cloud.faults(Faults::default());
    account.describe("ami-0000000000000beef", SERVICES);
    account
        .refused(&[
            "there is no image ami-0000000000000beef",
            "packer/README.md",
        ])
        .await;
    // An image without a balancer is told with what stands on the console.
    account.describe(IMAGES[2], SERVICES);
    let text = fs::read_to_string(account.fleet.path("fleet.toml")).unwrap();
    fs::write(
        account.fleet.path("fleet.toml"),
        text.replace("\"60s\"", "\"3s\""),
    )
    .unwrap();
    account
        .refused(&["no operating system was found", "`image` is the appliance"])
        .await;
    account.destroy().await;
}

#[tokio::test]
async fn who_has_no_credentials_or_names_no_region_is_told_before_anything_is_made() {
    let account = Account::new().await;
    let mut command = account.fleet.command(&["apply", "--yes"]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    let told = run_within(PATIENCE, &mut command).await;
    assert_ne!(told.code(), 0);
    assert_told(
        &told,
        &["there are no credentials for AWS", "aws sso login"],
    );
    let text = fs::read_to_string(account.fleet.path("fleet.toml")).unwrap();
    let endpoint = format!("endpoint = \"{}\"", account.cloud.endpoint());
    let nowhere = "endpoint = \"http://ec2.nowhere-1.invalid\"";
    fs::write(
        account.fleet.path("fleet.toml"),
        text.replace(&endpoint, nowhere),
    )
    .unwrap();
    account
        .refused(&["EC2 cannot be reached", "is the name of a region"])
        .await;
    assert!(account.cloud.instances().is_empty());
}

#[tokio::test]
async fn a_document_that_is_larger_than_user_data_reaches_a_new_machine_all_the_same() {
    let account = Account::new().await;
    let comment = "# a line that takes room\n".repeat(1000);
    fs::write(
        account.fleet.path("lb.toml"),
        format!("{DOCUMENT}{comment}"),
    )
    .unwrap();
    account.settle().await;
    eventually("it serves", async || account.get().await).await;
    account.destroy().await;
}
