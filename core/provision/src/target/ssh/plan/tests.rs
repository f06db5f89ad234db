use lb_model::Format;
use lb_model::fleet::Balancer;
use proptest::prelude::*;

use super::*;
use crate::program::Program;
use crate::wanted::{Access, Document, Owner};

const FLEET: &str = r#"
name = "production"
[balancers.lb1]
target = { ssh = { host = "lb1.example" } }
document = "lb.toml"
admin_address = "10.0.0.5:9443"
"#;

fn balancer() -> Balancer {
    let fleet = lb_model::fleet::read(FLEET, Format::Toml).unwrap();
    fleet.fleet().balancers.values().next().unwrap().clone()
}

fn program(digit: char) -> Program {
    Program {
        path: "lbctl".into(),
        sha256: digit.to_string().repeat(64),
        bytes: 20 << 20,
        machine: "x86_64",
    }
}

fn wanted(program: WantedProgram) -> Wanted {
    Wanted {
        name: "lb1".parse().unwrap(),
        balancer: balancer(),
        document: Some(Document {
            text: String::new(),
            sha256: sha256(""),
        }),
        program,
        owner: Owner {
            fleet: "production".parse().unwrap(),
            balancer: "lb1".parse().unwrap(),
            lineage: "abc".to_owned(),
        },
        access: None,
        is_recorded: false,
    }
}

fn access() -> Access {
    Access {
        address: "10.0.0.5:9443".parse().unwrap(),
        token: "lbctl_1".to_owned(),
        fingerprint: None,
    }
}

fn bare() -> Observed {
    Observed {
        machine: "x86_64".to_owned(),
        system: "Linux".to_owned(),
        systemd: true,
        active: "inactive".to_owned(),
        free_kib: 1 << 20,
        ..Observed::default()
    }
}

/// The machine after a step, as a look at it would tell.
fn after(mut seen: Observed, wanted: &mut Wanted, step: &Step) -> Observed {
    let target::Work::Ssh(work) = &step.work else {
        panic!("a step of another target: {step:?}");
    };
    let (WantedProgram::This(program) | WantedProgram::AsItIs(program)) = wanted.program.clone();
    match work {
        Work::Claim { .. } => seen.owner = Some(serde_json::to_string(&wanted.owner).unwrap()),
        Work::Account => seen.account = true,
        Work::Release => {
            let name = program.release();
            seen.releases.insert(name.clone(), "lbctl 1".to_owned());
            seen.digests.insert(name, program.sha256);
        }
        Work::Unit => {
            seen.unit = Some(sha256(&unit()));
            seen.program = Some(PROGRAM.to_owned());
            seen.foreign = None;
        }
        Work::File => seen.file = wanted.document.as_ref().map(|found| found.sha256.clone()),
        Work::Switch(release) => {
            seen.current = Some(release.clone());
            seen.serving = Some(release.clone());
            seen.past.push(release.clone());
            seen.active = "active".to_owned();
            (seen.enabled, seen.state) = (true, true);
            seen.status = Some(serde_json::json!({}));
        }
        Work::Document => seen.plan = None,
        Work::Access => wanted.access = Some(access()),
        Work::Prune(names) => seen.releases.retain(|name, _| !names.contains(name)),
        Work::Destroy | Work::Forget => return bare(),
    }
    seen
}

fn words(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.step).collect()
}

/// Plans and does one step after the other, each time from a new look, as whoever is interrupted after
/// each does. Gives the words of what was done.
fn settle(mut seen: Observed, wanted: &mut Wanted) -> (Observed, Vec<&'static str>) {
    let mut done = Vec::new();
    loop {
        let steps = plan(&seen, Goal::Be(wanted), false).unwrap();
        let Some(step) = steps.first() else {
            return (seen, done);
        };
        assert!(done.len() < 20, "no end: {done:?}");
        done.push(step.step);
        let step = step.clone();
        seen = after(seen, wanted, &step);
    }
}

#[test]
fn a_bare_machine_takes_every_step_and_interruptions_add_none() {
    let mut wanted = wanted(WantedProgram::AsItIs(program('a')));
    let at_once = plan(&bare(), Goal::Be(&wanted), false).unwrap();
    let all = [
        "claim", "account", "release", "unit", "file", "switch", "access",
    ];
    assert_eq!(words(&at_once), all);
    let (_, one_by_one) = settle(bare(), &mut wanted);
    assert_eq!(one_by_one, all);
}

#[test]
fn another_program_is_a_release_and_a_switch_that_drains_and_the_way_back_a_switch() {
    let mut first = wanted(WantedProgram::AsItIs(program('a')));
    let (seen, _) = settle(bare(), &mut first);
    // Who names no program keeps the one that runs.
    let kept = wanted(WantedProgram::AsItIs(program('b')));
    let kept = Wanted {
        access: Some(access()),
        ..kept
    };
    assert_eq!(plan(&seen, Goal::Be(&kept), false).unwrap(), []);
    let mut second = Wanted {
        program: WantedProgram::This(program('b')),
        ..kept
    };
    let steps = plan(&seen, Goal::Be(&second), false).unwrap();
    assert_eq!(words(&steps), ["release", "switch"]);
    assert_eq!(steps.last().unwrap().effect, Effect::Drain);
    let (seen, _) = settle(seen, &mut second);
    let back = plan(&seen, Goal::GoBack(&second), false).unwrap();
    let release = program('a').release();
    assert_eq!(
        back.iter().map(|step| &step.work).collect::<Vec<_>>(),
        [&target::Work::Ssh(Work::Switch(release))]
    );
}

#[test]
fn three_releases_are_kept() {
    let (mut seen, mut has_access) = (bare(), false);
    for digit in ['a', 'b', 'c', 'd', 'e'] {
        let mut wanted = wanted(WantedProgram::This(program(digit)));
        wanted.access = has_access.then(access);
        (seen, _) = settle(seen, &mut wanted);
        has_access = true;
    }
    let expected = ['c', 'd', 'e'].map(|digit| program(digit).release());
    assert!(seen.releases.keys().eq(&expected), "{:?}", seen.releases);
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let wanted = wanted(WantedProgram::AsItIs(program('a')));
    let other = Observed {
        owner: Some(r#"{"fleet":"production","balancer":"lb1","lineage":"other"}"#.to_owned()),
        ..bare()
    };
    for goal in [
        Goal::Be(&wanted),
        Goal::GoBack(&wanted),
        Goal::Vanish(&wanted),
    ] {
        let refused = plan(&other, goal, false).unwrap_err();
        assert!(matches!(refused, Refusal::NotOurs(_)), "{refused}");
    }
    let adopted = plan(&other, Goal::Be(&wanted), true).unwrap();
    assert_eq!(
        adopted[0].work,
        target::Work::Ssh(Work::Claim { take_over: true })
    );
    let foreign = Observed {
        foreign: Some("/lib/systemd/system/lbctl.service".to_owned()),
        ..bare()
    };
    let refused = plan(&foreign, Goal::Be(&wanted), false).unwrap_err();
    assert!(matches!(refused, Refusal::Foreign(_)), "{refused}");
    assert_eq!(plan(&foreign, Goal::Vanish(&wanted), false).unwrap(), []);
}

#[test]
fn what_is_gone_from_a_machine_is_forgotten_and_a_token_for_it_is_made_anew() {
    let mut wanted = wanted(WantedProgram::AsItIs(program('a')));
    (wanted.access, wanted.is_recorded) = (Some(access()), true);
    let steps = plan(&bare(), Goal::Vanish(&wanted), false).unwrap();
    assert_eq!(words(&steps), ["forget"]);
    let steps = plan(&bare(), Goal::Be(&wanted), false).unwrap();
    assert!(words(&steps).contains(&"access"), "{steps:?}");
}

#[test]
fn machines_that_cannot_run_it_are_refused() {
    let wanted = wanted(WantedProgram::AsItIs(program('a')));
    let arm = Observed {
        machine: "aarch64".to_owned(),
        ..bare()
    };
    let refused = plan(&arm, Goal::Be(&wanted), false).unwrap_err();
    assert!(matches!(refused, Refusal::OtherMachine { .. }), "{refused}");
    let old = Observed {
        systemd: false,
        ..bare()
    };
    let refused = plan(&old, Goal::Be(&wanted), false).unwrap_err();
    assert!(matches!(refused, Refusal::NotLinux(_)), "{refused}");
}

/// Machines in any state between nothing and everything.
fn any_observed() -> impl Strategy<Value = Observed> {
    let release = prop::sample::select(vec!['a', 'b', 'c']).prop_map(program);
    let installed = prop::collection::vec(release, 0..3);
    let flags = prop::collection::vec(any::<bool>(), 6);
    (installed, flags).prop_map(|(installed, flags)| {
        let mut seen = bare();
        let ours = wanted(WantedProgram::AsItIs(program('a'))).owner;
        seen.owner = (flags[0]).then(|| serde_json::to_string(&ours).unwrap());
        seen.account = flags[1];
        for program in &installed {
            let name = program.release();
            seen.releases.insert(name.clone(), String::new());
            seen.digests.insert(name, program.sha256.clone());
        }
        let first = installed.first().map(Program::release);
        seen.current = first.clone().filter(|_| flags[2]);
        if flags[3] && seen.current.is_some() {
            seen.serving = first;
            seen.active = "active".to_owned();
            seen.status = Some(serde_json::json!({}));
            seen.state = true;
        }
        seen.unit = flags[4].then(|| "old".to_owned());
        seen.enabled = flags[5];
        seen
    })
}

proptest! {
    /// From wherever it was left, the same command ends, and then there is nothing to do.
    #[test]
    fn every_machine_settles(seen in any_observed(), is_named in any::<bool>()) {
        let program = if is_named {
            WantedProgram::This(program('b'))
        } else {
            WantedProgram::AsItIs(program('b'))
        };
        let mut wanted = wanted(program);
        let (seen, _) = settle(seen, &mut wanted);
        prop_assert!(seen.enabled && seen.account && seen.status.is_some());
        prop_assert_eq!(seen.unit, Some(sha256(&unit())));
        let (WantedProgram::This(wanted) | WantedProgram::AsItIs(wanted)) = &wanted.program;
        prop_assert!(!is_named || seen.serving == Some(wanted.release()));
    }
}
