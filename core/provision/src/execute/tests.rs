use std::collections::BTreeMap;
use std::sync::Mutex;

use lb_model::plan::Effect;

use super::*;
use crate::step::Sign;
use crate::target::{Work, ssh};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn step(balancer: &str, word: &'static str) -> Step {
    Step {
        balancer: name(balancer),
        step: word,
        title: word.to_owned(),
        sign: Sign::Add,
        effect: Effect::Live,
        changes: None,
        work: Work::Ssh(ssh::Work::Account),
    }
}

fn chain(balancer: &str, cluster: Option<&str>, words: &[&'static str]) -> Chain {
    Chain {
        balancer: name(balancer),
        cluster: cluster.map(name),
        steps: words.iter().map(|word| step(balancer, word)).collect(),
    }
}

/// Does nothing but watch who works at the same time as who; fails in the step called `bad`.
#[derive(Default)]
struct Watch {
    seen: Mutex<Seen>,
    stop_in: Option<(&'static str, Stop)>,
}

#[derive(Default)]
struct Seen {
    working: BTreeSet<Name>,
    most: usize,
    together: BTreeSet<BTreeSet<Name>>,
    done: Vec<(Name, &'static str)>,
}

impl Runner for Watch {
    async fn run(&self, step: &Step) -> Result<Left, ProvisionError> {
        {
            let mut seen = self.seen.lock().unwrap();
            assert!(
                seen.working.insert(step.balancer.clone()),
                "two steps of one"
            );
            seen.most = seen.most.max(seen.working.len());
            let together = seen.working.clone();
            seen.together.insert(together);
        }
        // Everybody else who may begin has begun by then.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        if let Some((word, stop)) = &self.stop_in
            && *word == step.step
        {
            stop.request();
        }
        let mut seen = self.seen.lock().unwrap();
        seen.working.remove(&step.balancer);
        seen.done.push((step.balancer.clone(), step.step));
        if step.step == "bad" {
            Err(ProvisionError::Lost(step.balancer.clone()))
        } else {
            Ok(Left::Nothing)
        }
    }
}

/// Counts what has begun and not ended.
#[derive(Default)]
struct Counts {
    open: BTreeMap<Name, &'static str>,
    refuses: bool,
}

impl Notes for Counts {
    fn begins(&mut self, step: &Step) -> Result<(), ProvisionError> {
        if self.refuses {
            return Err(ProvisionError::Lost(step.balancer.clone()));
        }
        assert_eq!(self.open.insert(step.balancer.clone(), step.step), None);
        Ok(())
    }

    fn ended(
        &mut self,
        step: &Step,
        _: Result<Left, &ProvisionError>,
    ) -> Result<(), ProvisionError> {
        assert_eq!(self.open.remove(&step.balancer), Some(step.step));
        Ok(())
    }
}

async fn carry_out(chains: Vec<Chain>, watch: Watch, parallel: usize) -> (Outcome, Arc<Watch>) {
    let stop = watch.stop_in.as_ref().map(|(_, stop)| stop.clone());
    let (watch, mut counts) = (Arc::new(watch), Counts::default());
    let (stop, events) = (stop.unwrap_or_default(), Events::nobody());
    let outcome = execute(chains, &watch, &mut counts, parallel, &stop, &events).await;
    assert_eq!(counts.open, BTreeMap::new());
    (outcome, watch)
}

#[tokio::test]
async fn balancers_go_beside_each_other_and_the_members_of_a_cluster_one_by_one() {
    let chains = ["a", "b", "c", "d"].map(|name| {
        let cluster = matches!(name, "a" | "b").then_some("pair");
        chain(name, cluster, &["one", "two", "three"])
    });
    let (outcome, watch) = carry_out(chains.into(), Watch::default(), 16).await;
    assert_eq!((outcome.steps_done, outcome.done.len()), (12, 4));
    let seen = watch.seen.lock().unwrap();
    assert_eq!(seen.most, 3);
    let (a, b) = (name("a"), name("b"));
    let both = |together: &BTreeSet<Name>| together.contains(&a) && together.contains(&b);
    assert!(!seen.together.iter().any(both));
    let last_of_a = seen.done.iter().rposition(|(name, _)| *name == a).unwrap();
    let first_of_b = seen.done.iter().position(|(name, _)| *name == b).unwrap();
    assert!(last_of_a < first_of_b);
}

#[tokio::test]
async fn no_more_than_so_many_at_a_time() {
    let chains = ["a", "b", "c", "d", "e"].map(|name| chain(name, None, &["one", "two"]));
    let (outcome, watch) = carry_out(chains.into(), Watch::default(), 2).await;
    assert_eq!(outcome.steps_done, 10);
    assert_eq!(watch.seen.lock().unwrap().most, 2);
}

#[tokio::test]
async fn a_failure_leaves_the_rest_of_the_cluster_and_nobody_else() {
    let chains = vec![
        chain("a", Some("pair"), &["one", "bad", "three"]),
        chain("b", Some("pair"), &["one"]),
        chain("c", None, &["one", "two"]),
    ];
    let (outcome, watch) = carry_out(chains, Watch::default(), 16).await;
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(outcome.left, [name("a"), name("b")].into());
    assert_eq!(outcome.done, [name("c")].into());
    assert!(!outcome.was_stopped);
    let seen = watch.seen.lock().unwrap();
    let others = |(name, word): &&(Name, &str)| name.as_str() == "b" || *word == "three";
    assert_eq!(seen.done.iter().find(others), None);
}

#[tokio::test]
async fn an_end_that_is_asked_for_comes_after_the_steps_that_are_under_way() {
    let chains = ["a", "b", "c"].map(|name| chain(name, None, &["one", "two"]));
    let watch = Watch {
        stop_in: Some(("one", Stop::default())),
        ..Watch::default()
    };
    let (outcome, watch) = carry_out(chains.into(), watch, 2).await;
    assert!(outcome.was_stopped);
    let seen = watch.seen.lock().unwrap();
    assert_eq!(seen.done, [(name("a"), "one"), (name("b"), "one")]);
    assert_eq!(outcome.left, [name("a"), name("b"), name("c")].into());
}

#[tokio::test]
async fn nothing_is_done_that_could_not_be_written_down_before() {
    let watch = Arc::new(Watch::default());
    let mut counts = Counts {
        refuses: true,
        ..Counts::default()
    };
    let (stop, events) = (Stop::default(), Events::nobody());
    let chains = vec![chain("a", None, &["one"])];
    let outcome = execute(chains, &watch, &mut counts, 16, &stop, &events).await;
    assert_eq!(outcome.failed.len(), 1);
    assert!(watch.seen.lock().unwrap().done.is_empty());
}
