use lb_model::fleet::{Target, VmTarget};

use super::super::folder::Kept;
use super::*;
use crate::target::samples::{self, balancer, owner};

const FLEET: &str = r#"
name = "lab"
[balancers.lb1]
document = "lb.toml"
[balancers.lb1.target.vm]
image = "lbctl.qcow2"
forwards = [{ address = "127.0.0.1:9443", port = 9443 }]
"#;

fn target() -> VmTarget {
    match balancer(FLEET).target {
        Target::Vm(target) => target,
        Target::Ssh(_) | Target::Aws(_) | Target::Redfish(_) => panic!("another target"),
    }
}

fn wanted() -> Wanted {
    samples::wanted(balancer(FLEET))
}

fn nothing() -> Observed {
    Observed {
        kept: None,
        wanted: Ok(Shape::of(&target(), "new".to_owned())),
        running: false,
        image: None,
        accelerator: None,
        has_access: false,
        status: None,
        plan: None,
        refused: None,
        silent: None,
        qemu: String::new(),
    }
}

/// A machine that runs as it shall.
fn there() -> Observed {
    Observed {
        kept: Some(Kept {
            owner: owner("ours"),
            instance: "1".to_owned(),
            is_made: true,
            shape: Shape::of(&target(), "new".to_owned()),
            previous: None,
        }),
        running: true,
        has_access: true,
        plan: Some(lb_model::plan::Plan::default()),
        ..nothing()
    }
}

fn kept(seen: &mut Observed) -> &mut Kept {
    seen.kept.as_mut().unwrap()
}

fn words(seen: &Observed, goal: Goal<'_>) -> Vec<&'static str> {
    let steps = plan(seen, goal, false).unwrap();
    steps.iter().map(|step| step.step).collect()
}

#[test]
fn each_state_has_the_steps_that_it_takes_and_no_others() {
    let wanted = wanted();
    let be = Goal::Be(&wanted);
    assert_eq!(words(&nothing(), be), ["machine", "start", "enrol"]);
    assert_eq!(words(&there(), be), [""; 0]);
    let mut half = there();
    kept(&mut half).is_made = false;
    assert_eq!(
        words(&half, be),
        ["machine", "start", "enrol"],
        "an interrupted step"
    );
    let mut stopped = there();
    (stopped.running, stopped.plan) = (false, None);
    assert_eq!(words(&stopped, be), ["start", "document"]);
    let mut other = there();
    kept(&mut other).shape.memory_mib = 256;
    assert_eq!(words(&other, be), ["change"]);
    let mut strange = there();
    strange.has_access = false;
    strange.plan = None;
    assert_eq!(words(&strange, be), ["enrol", "document"]);
    let without = Wanted {
        access: None,
        ..wanted.clone()
    };
    assert_eq!(
        words(&there(), Goal::Be(&without)),
        ["access"],
        "the state was lost"
    );
    assert_eq!(words(&there(), Goal::Vanish(&wanted)), ["destroy"]);
    assert_eq!(words(&nothing(), Goal::Vanish(&wanted)), ["forget"]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let wanted = wanted();
    let mut seen = there();
    kept(&mut seen).owner = owner("theirs");
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
fn an_image_that_is_gone_hinders_nobody_to_take_the_machine_away() {
    let wanted = wanted();
    let mut seen = there();
    seen.wanted = Err(refusal("no such file".to_owned(), "see"));
    assert_eq!(
        plan(&seen, Goal::Be(&wanted), false).unwrap_err().help,
        "see"
    );
    assert_eq!(words(&seen, Goal::Vanish(&wanted)), ["destroy"]);
}

#[test]
fn the_way_back_is_the_image_before() {
    let wanted = wanted();
    let mut seen = there();
    assert!(plan(&seen, Goal::GoBack(&wanted), false).is_err());
    kept(&mut seen).previous = Some("old".to_owned());
    let steps = plan(&seen, Goal::GoBack(&wanted), false).unwrap();
    assert!(steps[0].title.contains("image new -> old"), "{steps:?}");
}
