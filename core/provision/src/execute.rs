//! Carrying steps out: balancers beside each other, the steps of each in order, and members of a cluster
//! one after the other, so that there is always one that serves.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lb_model::value::Name;
use tokio::task::JoinSet;

use crate::error::ProvisionError;
use crate::event::{Event, Events};
use crate::step::Step;
use crate::target::Left;

/// The steps of one balancer.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) balancer: Name,
    pub(crate) cluster: Option<Name>,
    pub(crate) steps: VecDeque<Step>,
}

/// Does one step.
pub(crate) trait Runner: Send + Sync + 'static {
    fn run(&self, step: &Step) -> impl Future<Output = Result<Left, ProvisionError>> + Send;
}

/// Hears of each step before it begins and after it has ended, and writes it down.
pub(crate) trait Notes {
    fn begins(&mut self, step: &Step) -> Result<(), ProvisionError>;
    fn ended(
        &mut self,
        step: &Step,
        result: Result<Left, &ProvisionError>,
    ) -> Result<(), ProvisionError>;
}

/// Asks for an end after the steps that are under way.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Begins no further step.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked for an end.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps that were done.
    pub steps_done: usize,
    /// Balancers of which every step was done.
    pub done: BTreeSet<Name>,
    /// What went wrong.
    pub failed: Vec<ProvisionError>,
    /// Balancers that were left as they were, or in the middle.
    pub left: BTreeSet<Name>,
    /// Somebody asked for an end.
    pub was_stopped: bool,
}

struct Ended {
    chain: Chain,
    step: Step,
    took: Duration,
    result: Result<Left, ProvisionError>,
}

/// Carries the chains out, so many steps at a time.
pub(crate) async fn execute<R: Runner, N: Notes>(
    chains: Vec<Chain>,
    runner: &Arc<R>,
    notes: &mut N,
    parallel: usize,
    stop: &Stop,
    events: &Events,
) -> Outcome {
    let mut executor = Executor {
        runner,
        notes,
        events,
        waiting: chains.into(),
        busy: BTreeSet::new(),
        broken: BTreeSet::new(),
        running: JoinSet::new(),
        outcome: Outcome::default(),
    };
    loop {
        while !stop.is_requested() && executor.running.len() < parallel.max(1) {
            let Some(chain) = executor.next() else { break };
            executor.start(chain);
        }
        let Some(ended) = executor.running.join_next().await else {
            break;
        };
        match ended {
            Ok(ended) => executor.ended(ended, stop),
            // Nothing panics there; a balancer whose step is lost is found again by looking.
            Err(_) => stop.request(),
        }
    }
    executor.leave(stop.is_requested());
    executor.outcome
}

struct Executor<'e, R, N> {
    runner: &'e Arc<R>,
    notes: &'e mut N,
    events: &'e Events,
    waiting: VecDeque<Chain>,
    /// Clusters of which a member is being changed.
    busy: BTreeSet<Name>,
    /// Clusters of which a member is not well: the others stay as they are.
    broken: BTreeSet<Name>,
    running: JoinSet<Ended>,
    outcome: Outcome,
}

impl<R: Runner, N: Notes> Executor<'_, R, N> {
    /// The next chain that may begin.
    fn next(&mut self) -> Option<Chain> {
        let may = |chain: &Chain| match &chain.cluster {
            None => true,
            Some(cluster) => !self.busy.contains(cluster) && !self.broken.contains(cluster),
        };
        let at = self.waiting.iter().position(may)?;
        let chain = self.waiting.remove(at)?;
        self.busy.extend(chain.cluster.clone());
        Some(chain)
    }

    /// Begins the next step of a chain.
    fn start(&mut self, mut chain: Chain) {
        let Some(step) = chain.steps.pop_front() else {
            self.free(&chain);
            self.outcome.done.insert(chain.balancer);
            return;
        };
        if let Err(error) = self.notes.begins(&step) {
            self.fail(chain, &step, error);
            return;
        }
        self.events.tell(Event::Started {
            balancer: step.balancer.clone(),
            step: step.step,
            title: step.title.clone(),
        });
        let runner = Arc::clone(self.runner);
        self.running.spawn(async move {
            let began = Instant::now();
            let result = runner.run(&step).await;
            Ended {
                chain,
                step,
                took: began.elapsed(),
                result,
            }
        });
    }

    fn ended(&mut self, ended: Ended, stop: &Stop) {
        let Ended {
            chain,
            step,
            took,
            result,
        } = ended;
        let failed = match result {
            Ok(left) => self.notes.ended(&step, Ok(left)).err(),
            Err(error) => {
                // The first error is the one to tell.
                drop(self.notes.ended(&step, Err(&error)));
                Some(error)
            }
        };
        if let Some(error) = failed {
            self.fail(chain, &step, error);
            return;
        }
        self.outcome.steps_done += 1;
        self.events.tell(Event::Finished {
            balancer: step.balancer,
            step: step.step,
            took,
        });
        if chain.steps.is_empty() || !stop.is_requested() {
            self.start(chain);
        } else {
            self.free(&chain);
            self.waiting.push_front(chain);
        }
    }

    fn fail(&mut self, chain: Chain, step: &Step, error: ProvisionError) {
        self.free(&chain);
        self.broken.extend(chain.cluster);
        self.events.tell(Event::Failed {
            balancer: chain.balancer.clone(),
            step: step.step,
            error: error.to_string(),
            help: error.help(),
        });
        self.outcome.left.insert(chain.balancer);
        self.outcome.failed.push(error);
    }

    fn free(&mut self, chain: &Chain) {
        if let Some(cluster) = &chain.cluster {
            self.busy.remove(cluster);
        }
    }

    /// Tells of those that were left.
    fn leave(&mut self, was_stopped: bool) {
        for chain in std::mem::take(&mut self.waiting) {
            let reason = match chain
                .cluster
                .filter(|cluster| self.broken.contains(cluster))
            {
                Some(cluster) => format!("another one of the cluster {cluster} is not well"),
                None => "an end was asked for".to_owned(),
            };
            self.events.tell(Event::Skipped {
                balancer: chain.balancer.clone(),
                reason,
            });
            self.outcome.left.insert(chain.balancer);
        }
        self.outcome.was_stopped = was_stopped && !self.outcome.left.is_empty();
    }
}

#[cfg(test)]
mod tests;
