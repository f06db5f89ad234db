use std::sync::Mutex;

use lb_model::fleet::Target;

use super::super::fake::Fake;
use super::super::look::look;
use super::super::plan::plan;
use super::*;
use crate::target::Goal;
use crate::target::Work as AnyWork;
use crate::target::samples::{self, balancer};
use crate::wanted::Wanted;

const FLEET: &str = r#"
name = "lab"
[balancers.lb1]
document = "lb.toml"
[balancers.lb1.target.aws]
region = "eu-central-1"
image = "ami-00000001"
admin_networks = ["203.0.113.7/32"]
services = [{ port = 443 }]
elastic_address = true
public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbHqzKtnu6OHfb1QSJ1tzuE8mHI1ILmYLMTI5VXYmxr"
tags = { team = "web" }
"#;

fn wanted(text: &str) -> Wanted {
    Wanted {
        access: None,
        ..samples::wanted(balancer(text))
    }
}

/// One run of the program: a look, a plan, and the steps of it; what it learnt to talk to is kept as the state keeps it.
async fn once(fake: &Fake, wanted: &mut Wanted, goal: Aim) -> Result<usize, String> {
    let Target::Aws(target) = wanted.balancer.target.clone() else {
        panic!("another target")
    };
    let made = Mutex::default();
    let (steps, kept) = {
        let site = Site {
            cloud: fake,
            balancers: fake,
            target: &target,
            wanted,
            made: &made,
        };
        let seen = look(&site).await.map_err(|error| error.to_string())?;
        let goal = match goal {
            Aim::Be => Goal::Be(wanted),
            Aim::GoBack => Goal::GoBack(wanted),
            Aim::Vanish => Goal::Vanish(wanted),
        };
        let steps = plan(&seen, goal, false).map_err(|refusal| refusal.why)?;
        let count = steps.len();
        let mut kept = None;
        let mut failed = None;
        for step in steps {
            let AnyWork::Aws(work) = step.work else {
                panic!("another target")
            };
            match run(&site, &work).await {
                Ok(Left::Access(access)) => kept = Some(access),
                Ok(Left::Nothing | Left::Gone) => {}
                Err(error) => {
                    failed = Some(error.to_string());
                    break;
                }
            }
        }
        (failed.map_or(Ok(count), Err), kept)
    };
    if let Some(access) = kept {
        wanted.access = Some(access);
    }
    steps
}

#[derive(Clone, Copy)]
enum Aim {
    Be,
    GoBack,
    Vanish,
}

async fn settle(fake: &Fake, wanted: &mut Wanted) {
    fake.begin(None);
    once(fake, wanted, Aim::Be).await.unwrap();
    let again = once(fake, wanted, Aim::Be).await.unwrap();
    assert_eq!(again, 0, "a second plan is not empty");
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_or_after_each_call_leaves_one_of_everything_and_nothing_in_the_end() {
    let calls = {
        let fake = Fake::default();
        once(&fake, &mut wanted(FLEET), Aim::Be).await.unwrap();
        fake.calls()
    };
    assert!(calls > 20, "{calls}");
    for call in 1..=calls {
        for is_done in [false, true] {
            let fake = Fake::default();
            let mut wanted = wanted(FLEET);
            fake.begin(Some((call, is_done)));
            once(&fake, &mut wanted, Aim::Be).await.unwrap_err();
            // What was made is not shown at once.
            *fake.unseen.lock().unwrap() = 3;
            fake.begin(None);
            let settled = once(&fake, &mut wanted, Aim::Be).await;
            settled.unwrap_or_else(|error| panic!("call {call}, done: {is_done}: {error}"));
            settle(&fake, &mut wanted).await;
            assert_eq!(fake.alive(), (1, 1, 1, 1), "call {call}, done: {is_done}");
            // Taking it away is interrupted, too.
            for last in 1.. {
                fake.begin(Some((last, is_done)));
                if once(&fake, &mut wanted, Aim::Vanish).await.is_ok() {
                    break;
                }
            }
            fake.begin(None);
            once(&fake, &mut wanted, Aim::Vanish).await.unwrap();
            assert_eq!(fake.alive(), (0, 0, 0, 0), "call {call}, done: {is_done}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_a_replacement_leaves_one_machine_of_the_new_image() {
    let other = FLEET.replace("ami-00000001", "ami-00000002");
    for call in 1.. {
        let mut was_interrupted = false;
        for is_done in [false, true] {
            let fake = Fake::default();
            let mut wanted = wanted(FLEET);
            settle(&fake, &mut wanted).await;
            wanted.balancer = balancer(&other);
            fake.begin(Some((call, is_done)));
            was_interrupted |= once(&fake, &mut wanted, Aim::Be).await.is_err();
            fake.begin(None);
            settle(&fake, &mut wanted).await;
            assert_eq!(fake.alive(), (1, 1, 1, 1), "call {call}, done: {is_done}");
            let world = fake.world.lock().unwrap();
            let mut alive = world.instances.values();
            let alive = alive.find(|found| !found.state.is_gone()).unwrap();
            assert_eq!(alive.image, "ami-00000002");
        }
        if !was_interrupted {
            assert!(call > 15);
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_leaves_the_machine_before_and_the_way_back_is_the_image_before() {
    let fake = Fake {
        bad: vec!["ami-00000bad".to_owned()],
        ..Fake::default()
    };
    let mut wanted = wanted(FLEET);
    settle(&fake, &mut wanted).await;
    wanted.balancer = balancer(&FLEET.replace("ami-00000001", "ami-00000bad"));
    let told = once(&fake, &mut wanted, Aim::Be).await.unwrap_err();
    assert!(
        told.contains("bad image") && told.contains("no operating system"),
        "{told}"
    );
    assert_eq!(fake.alive(), (1, 1, 1, 1));
    wanted.balancer = balancer(FLEET);
    settle(&fake, &mut wanted).await;
    wanted.balancer = balancer(&FLEET.replace("ami-00000001", "ami-00000002"));
    settle(&fake, &mut wanted).await;
    once(&fake, &mut wanted, Aim::GoBack).await.unwrap();
    wanted.balancer = balancer(FLEET);
    settle(&fake, &mut wanted).await;
    assert_eq!(fake.alive(), (1, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn changes_that_need_no_other_machine_make_none() {
    let fake = Fake::default();
    let mut wanted = wanted(FLEET);
    settle(&fake, &mut wanted).await;
    for (from, to) in [
        ("elastic_address = true", ""),
        (
            "tags = { team = \"web\" }",
            "tags = { stage = \"live\" }\ninstance_type = \"c7i.large\"",
        ),
        (
            "{ port = 443 }",
            "{ port = 443 }, { port = 443, protocol = \"udp\" }",
        ),
    ] {
        wanted.balancer = balancer(&FLEET.replace(from, to));
        settle(&fake, &mut wanted).await;
        let world = fake.world.lock().unwrap();
        assert_eq!(world.instances.len(), 1, "{to}");
    }
    let world = fake.world.lock().unwrap();
    let machine = world.instances.values().next().unwrap();
    assert!(machine.tags.contains_key("team"));
    assert!(!machine.tags.contains_key("stage"), "{:?}", machine.tags);
}
