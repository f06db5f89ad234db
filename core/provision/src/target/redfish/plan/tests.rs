use super::*;
use crate::target::samples::{self, balancer, owner};

const FLEET: &str = r#"
name = "lab"
[balancers.lb1]
document = "lb.toml"
[balancers.lb1.target.redfish]
controller = "https://10.0.0.9"
user = "lbctl"
password_file = "password"
image = "lbctl.iso"
media_address = "10.0.0.2:0"
address = "10.0.0.5"
"#;

fn wanted() -> Wanted {
    samples::wanted(balancer(FLEET))
}

/// A machine that is off, and to which nothing was done.
fn nothing() -> Observed {
    Observed {
        kept: None,
        wanted: Ok("new".to_owned()),
        system: "1".to_owned(),
        power: "off".to_owned(),
        image: None,
        asset_tag: None,
        has_access: false,
        has_enrolment_token: false,
        status: None,
        plan: None,
        refused: None,
        silent: None,
    }
}

fn kept(stage: Stage) -> Kept {
    Kept {
        owner: owner("ours"),
        stage,
        release: "new".to_owned(),
        previous: None,
        adopts: false,
    }
}

/// A machine that serves as it shall.
fn there() -> Observed {
    Observed {
        kept: Some(kept(Stage::Started)),
        power: "on".to_owned(),
        image: Some("new".to_owned()),
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
    assert_eq!(
        words(&nothing(), be),
        ["claim", "install", "start", "enrol", "document"]
    );
    assert_eq!(words(&there(), be), [""; 0]);
    let half = |stage| Observed {
        kept: Some(kept(stage)),
        has_enrolment_token: true,
        ..nothing()
    };
    assert_eq!(
        words(&half(Stage::Claimed), be),
        ["install", "start", "enrol", "document"]
    );
    assert_eq!(
        words(&half(Stage::Installing), be),
        ["install", "start", "enrol", "document"]
    );
    assert_eq!(
        words(&half(Stage::Installed), be),
        ["start", "enrol", "document"]
    );
    let started = Observed {
        power: "on".to_owned(),
        ..half(Stage::Started)
    };
    assert_eq!(words(&started, be), ["enrol", "document"]);
    let without_token = Observed {
        has_enrolment_token: false,
        ..started
    };
    assert_eq!(
        words(&without_token, be),
        ["install", "start", "enrol", "document"]
    );
    let mut stopped = there();
    (stopped.power, stopped.plan) = ("off".to_owned(), None);
    assert_eq!(words(&stopped, be), ["start", "document"]);
    let mut older = there();
    older.kept.as_mut().unwrap().release = "old".to_owned();
    let steps = plan(&older, be, false).unwrap();
    assert!(steps[0].title.contains("image old -> new"), "{steps:?}");
    assert_eq!(steps[0].effect, Effect::Restart);
    assert_eq!(words(&older, be), ["install", "start"]);
    assert_eq!(words(&there(), Goal::Vanish(&wanted)), ["destroy"]);
    assert_eq!(words(&nothing(), Goal::Vanish(&wanted)), ["forget"]);
}

#[test]
fn the_way_back_is_the_image_before_when_there_was_one() {
    let wanted = wanted();
    let back = Goal::GoBack(&wanted);
    let refused = |seen: &Observed| plan(seen, back, false).unwrap_err().why;
    assert!(refused(&nothing()).contains("nothing was done"));
    assert!(refused(&there()).contains("no other image"));
    let mut seen = there();
    seen.kept = Some(kept(Stage::Started).with("newer"));
    let steps = plan(&seen, back, false).unwrap();
    assert!(steps[0].title.contains("image newer -> new"), "{steps:?}");
    assert_eq!(steps[0].effect, Effect::Restart);
    assert_eq!(words(&seen, back), ["install", "start"]);
    seen.kept.as_mut().unwrap().owner = owner("theirs");
    assert!(refused(&seen).contains("theirs"));
    // The same image once more is no other one, and going back can be taken back.
    let again = kept(Stage::Installing).with("newer").with("newer");
    assert_eq!(again.previous.as_deref(), Some("new"));
    let back = again.with("new");
    assert_eq!(
        (back.release.as_str(), back.previous.as_deref()),
        ("new", Some("newer"))
    );
    let first = Kept {
        release: String::new(),
        ..kept(Stage::Claimed)
    };
    assert_eq!(first.with("new").previous, None);
}

#[test]
fn a_machine_of_somebody_else_or_that_runs_something_is_left_alone() {
    let wanted = wanted();
    let be = Goal::Be(&wanted);
    let refused = |seen: &Observed| plan(seen, be, false).unwrap_err().why;
    let mut theirs = there();
    theirs.kept.as_mut().unwrap().owner = owner("theirs");
    assert!(refused(&theirs).contains("theirs"));
    assert_eq!(plan(&theirs, be, true).unwrap()[0].step, "claim");
    let marked = Observed {
        asset_tag: Some("lbctl lab/lb1 theirs".to_owned()),
        ..nothing()
    };
    assert!(refused(&marked).contains("theirs"));
    let running = Observed {
        power: "on".to_owned(),
        ..nothing()
    };
    assert!(refused(&running).contains("nobody knows what runs on it"));
    assert_eq!(plan(&running, be, true).unwrap()[0].step, "claim");
    let wipes = Wanted {
        balancer: balancer(&format!("{FLEET}wipe = true\n")),
        ..wanted.clone()
    };
    let steps = plan(&running, Goal::Be(&wipes), false).unwrap();
    assert!(
        steps[1].title.contains("what else is on it goes"),
        "{steps:?}"
    );
    // A tag of somebody's bookkeeping says nothing.
    let tagged = Observed {
        asset_tag: Some("Chicago-45Z-2381".to_owned()),
        ..nothing()
    };
    assert!(plan(&tagged, be, false).is_ok());
}
