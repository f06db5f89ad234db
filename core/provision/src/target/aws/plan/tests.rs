use lb_aws::{Group, State};
use lb_model::fleet::{Balancer, Target};

use super::super::facts::Facts;
use super::*;
use crate::target::samples::{self, owner};
use crate::wanted::Document;

const FLEET: &str = r#"
name = "lab"
[balancers.lb1]
document = "lb.toml"
[balancers.lb1.target.aws]
region = "eu-central-1"
image = "ami-00000001"
admin_networks = ["203.0.113.7/32"]
"#;

fn balancer(more: &str) -> Balancer {
    samples::balancer(&format!("{FLEET}{more}"))
}

fn wanted() -> Wanted {
    samples::wanted(balancer(""))
}

fn target(more: &str) -> AwsTarget {
    match balancer(more).target {
        Target::Aws(target) => target,
        Target::Ssh(_) | Target::Vm(_) | Target::Redfish(_) => panic!("another target"),
    }
}

fn nothing() -> Observed {
    Observed {
        account: "1".to_owned(),
        region: "eu-central-1".to_owned(),
        instance: None,
        state: None,
        address: None,
        image: None,
        instance_type: None,
        security_group: None,
        condition: String::new(),
        facts: Facts::default(),
        target: target(""),
        network: Ok("vpc-1".to_owned()),
        unfit: None,
        has_access: false,
        has_moved: false,
        status: None,
        plan: None,
        refused: None,
        silent: None,
    }
}

fn machine(lineage: &str) -> Instance {
    Instance {
        id: "i-1".to_owned(),
        state: State::Running,
        reason: None,
        image: "ami-00000001".to_owned(),
        kind: "t3.small".to_owned(),
        subnet: None,
        key: None,
        is_spot: false,
        public: None,
        private: None,
        volumes: Vec::new(),
        interfaces: Vec::new(),
        tags: marks::of(&owner(lineage), &target("")),
    }
}

/// A machine that runs as it shall.
fn there() -> Observed {
    let group = Group {
        id: "sg-1".to_owned(),
        name: "lbctl-lab-lb1".to_owned(),
        vpc: "vpc-1".to_owned(),
        rules: rules(&target(""), &wanted()).into_iter().collect(),
        tags: marks::of(&owner("ours"), &target("")),
    };
    Observed {
        facts: Facts {
            group: Some(group),
            instances: vec![machine("ours")],
            ..Facts::default()
        },
        has_access: true,
        plan: Some(lb_model::plan::Plan::default()),
        ..nothing()
    }
}

fn words(seen: &Observed, goal: Goal<'_>) -> Vec<&'static str> {
    let steps = plan(seen, goal, false).unwrap();
    steps.iter().map(|step| step.step).collect()
}

#[test]
fn each_state_has_the_steps_that_it_takes_and_no_others() {
    let wanted = wanted();
    let be = Goal::Be(&wanted);
    assert_eq!(words(&nothing(), be), ["group", "machine", "enrol"]);
    assert_eq!(words(&there(), be), [""; 0]);
    let mut stopped = there();
    stopped.facts.instances[0].state = State::Stopped;
    assert_eq!(words(&stopped, be), ["start"]);
    for (more, step) in [
        ("instance_type = \"c7i.large\"", "change"),
        ("services = [{ port = 80 }]", "rules"),
        ("tags = { team = \"web\" }", "tags"),
        ("disk_gib = 20", "replace"),
        ("spot = true", "replace"),
        ("subnet = \"subnet-12345678\"", "replace"),
    ] {
        let wanted = samples::wanted(balancer(more));
        let mut seen = there();
        seen.target = target(more);
        assert_eq!(words(&seen, Goal::Be(&wanted)), [step], "{more}");
    }
    let mut elastic = there();
    elastic.target.elastic_address = true;
    assert_eq!(words(&elastic, be), ["allocate", "address"]);
    assert_eq!(words(&there(), Goal::Vanish(&wanted)), ["destroy"]);
    assert_eq!(words(&nothing(), Goal::Vanish(&wanted)), ["forget"]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let wanted = wanted();
    let mut seen = there();
    seen.facts.instances = vec![machine("theirs")];
    for goal in [
        Goal::Be(&wanted),
        Goal::GoBack(&wanted),
        Goal::Vanish(&wanted),
    ] {
        let refusal = plan(&seen, goal, false).unwrap_err();
        assert!(refusal.why.contains("theirs"), "{refusal:?}");
    }
    let steps = plan(&seen, Goal::Be(&wanted), true).unwrap();
    assert_eq!(steps[0].step, "claim");
}

#[test]
fn a_machine_that_ec2_took_away_is_named_and_made_anew() {
    let wanted = wanted();
    let mut seen = there();
    seen.facts.instances[0].state = State::Terminated;
    seen.facts.instances[0].reason = Some("Server.SpotInstanceTermination".to_owned());
    let steps = plan(&seen, Goal::Be(&wanted), false).unwrap();
    assert_eq!(steps[0].step, "machine");
    let title = &steps[0].title;
    assert!(title.contains("took the spot machine away"), "{title}");
}

#[test]
fn a_document_that_is_too_large_for_the_seed_is_given_afterwards() {
    let wanted = Wanted {
        document: Some(Document::of("#".repeat(20_000))),
        ..wanted()
    };
    let steps = words(&nothing(), Goal::Be(&wanted));
    assert_eq!(steps, ["group", "machine", "enrol", "document"]);
}
