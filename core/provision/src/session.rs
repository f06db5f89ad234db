//! A fleet, its state and its machines, from the first look to the last step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use lb_model::fleet::{Balancer, ValidFleet};
use lb_model::nearest;
use lb_model::value::Name;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::error::ProvisionError;
use crate::event::{Event, Events};
use crate::execute::{Chain, Notes, Outcome, Runner, Stop, execute};
use crate::memory::{Directory, Held, Memory};
use crate::plan::{BalancerPlan, FleetPlan};
use crate::program::Program;
use crate::state::Recorded;
use crate::step::Step;
use crate::target::appliance::in_full;
use crate::target::{Goal, Left, Place, Refusal, Seen};
use crate::wanted::{Access, Document, Owner, Wanted, WantedError, WantedProgram};

/// The most machines that are looked at, or changed, at a time.
const PARALLEL: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Every balancer is as the fleet says; those that it does not name any more are gone.
    Apply,
    /// The same, and machines that belong to somebody else, or to nobody any more, become ours.
    Adopt,
    /// Every balancer runs this program.
    Upgrade(Option<Program>),
    /// Every balancer runs the release that it ran before.
    Rollback,
    /// Every balancer is gone.
    Destroy,
    /// Looking is all.
    Look,
}

/// Whether there is a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is one, or a part of one, and it is marked as ours.
    Ours,
    /// Nothing of ours is there.
    Absent,
    /// It is marked as somebody else's.
    Others,
}

/// The step of a balancer of which nothing is left but what is remembered.
const FORGET: &str = "forget";

/// A fleet that is being provisioned. Nobody else provisions it as long as this is there.
#[derive(Debug)]
pub struct Session {
    fleet: Name,
    memory: Box<dyn Memory>,
    intent: Intent,
    machines: BTreeMap<Name, Machine>,
}

/// A balancer and its machine.
#[derive(Debug)]
struct Machine {
    wanted: Arc<Wanted>,
    place: Arc<Place>,
    /// The fleet does not name it any more.
    is_leaving: bool,
    seen: Option<Result<Seen, ProvisionError>>,
}

impl Session {
    /// Opens the state in `dir`, reads what the fleet names (files are seen from `base`), and takes
    /// balancers with these names, or all. `own` is the program that balancers get when nobody says
    /// which.
    ///
    /// # Errors
    /// Something that the fleet names is wrong, or the state cannot be used. Nothing was looked at.
    pub fn open(
        fleet: &ValidFleet,
        base: &Path,
        dir: &Path,
        own: &Path,
        intent: Intent,
        names: &[Name],
    ) -> Result<Self, ProvisionError> {
        // What is wrong with documents is told before there is a state.
        let documents = documents(&fleet.fleet().balancers, base, &intent, names)?;
        let memory = Box::new(Directory::open(dir, &fleet.fleet().name)?);
        Self::begin(fleet, base, documents, memory, own, intent, names)
    }

    /// The same for somebody who keeps states already: all balancers of the fleet, and no directory.
    /// Whoever calls this sees to it that nobody else provisions the fleet meanwhile.
    ///
    /// # Errors
    /// Something that the fleet names is wrong. Nothing was looked at.
    pub fn with(
        fleet: &ValidFleet,
        base: &Path,
        held: Held,
        own: &Path,
        intent: Intent,
    ) -> Result<Self, ProvisionError> {
        let balancers = &fleet.fleet().balancers;
        let mut documents = documents(balancers, base, &intent, &[])?;
        if matches!(intent, Intent::Apply | Intent::Adopt) {
            for (name, text) in held.documents() {
                if let Some(balancer) = balancers.get(name) {
                    documents.insert(name.clone(), Document::given(name, balancer, text)?);
                }
            }
        }
        Self::begin(fleet, base, documents, Box::new(held), own, intent, &[])
    }

    fn begin(
        fleet: &ValidFleet,
        base: &Path,
        mut documents: BTreeMap<Name, Document>,
        memory: Box<dyn Memory>,
        own: &Path,
        intent: Intent,
        names: &[Name],
    ) -> Result<Self, ProvisionError> {
        let fleet = fleet.fleet();
        let mut balancers = fleet.balancers.clone();
        let mut leaving = BTreeSet::new();
        for (name, recorded) in memory.recorded() {
            if !balancers.contains_key(name) {
                balancers.insert(name.clone(), recorded.balancer.clone());
                leaving.insert(name.clone());
            }
        }
        if let Some(name) = names.iter().find(|name| !balancers.contains_key(*name)) {
            let nearest = nearest(name.as_str(), balancers.keys().map(Name::as_str));
            return Err(ProvisionError::Unknown {
                name: name.clone(),
                fleet: fleet.name.clone(),
                nearest: nearest.and_then(|name| name.parse().ok()),
            });
        }
        let mut session = Self {
            fleet: fleet.name.clone(),
            memory,
            intent,
            machines: BTreeMap::new(),
        };
        let mut programs = Programs::new(own);
        for (name, balancer) in balancers {
            if names.is_empty() || names.contains(&name) {
                let is_leaving = leaving.contains(&name);
                let document = documents.remove(&name);
                session.add(name, balancer, base, document, is_leaving, &mut programs)?;
            }
        }
        Ok(session)
    }

    fn add(
        &mut self,
        name: Name,
        balancer: Balancer,
        base: &Path,
        document: Option<Document>,
        is_leaving: bool,
        programs: &mut Programs<'_>,
    ) -> Result<(), ProvisionError> {
        let program = match (&self.intent, &balancer.program) {
            (Intent::Upgrade(Some(_)), Some(_)) => {
                return Err(ProvisionError::TwoPrograms(name));
            }
            (Intent::Upgrade(Some(_)), None) if balancer.target.is_appliance() => {
                return Err(ProvisionError::ProgramOfImage(name));
            }
            (Intent::Upgrade(Some(program)), None) => WantedProgram::This(program.clone()),
            (_, Some(_)) if is_leaving => WantedProgram::AsItIs(programs.own()?),
            (_, Some(path)) => WantedProgram::This(programs.at(&name, &base.join(path))?),
            (Intent::Upgrade(None), None) => WantedProgram::This(programs.own()?),
            (_, None) => WantedProgram::AsItIs(programs.own()?),
        };
        let owner = Owner {
            fleet: self.fleet.clone(),
            balancer: name.clone(),
            lineage: self.memory.lineage().to_owned(),
        };
        let place = Place::new(&balancer.target, base, &owner).map_err(|source| {
            let balancer = name.clone();
            let source = Box::new(source);
            ProvisionError::Machine { balancer, source }
        })?;
        let wanted = Wanted {
            owner,
            access: self.memory.access(&name),
            is_recorded: self.memory.recorded().contains_key(&name),
            name: name.clone(),
            balancer,
            document,
            program,
        };
        let machine = Machine {
            wanted: Arc::new(wanted),
            place: Arc::new(place),
            is_leaving,
            seen: None,
        };
        self.machines.insert(name, machine);
        Ok(())
    }

    /// Looks at every machine.
    pub async fn discover(&mut self, events: &Events) {
        let permits = Arc::new(Semaphore::new(PARALLEL));
        let mut looking = JoinSet::new();
        for (name, machine) in &self.machines {
            let (wanted, place) = (Arc::clone(&machine.wanted), Arc::clone(&machine.place));
            let (name, permits, events) = (name.clone(), Arc::clone(&permits), events.clone());
            looking.spawn(async move {
                let _permit = permits.acquire().await;
                events.tell(Event::Looking {
                    balancer: name.clone(),
                });
                let seen = place.look(&wanted).await;
                (name, seen)
            });
        }
        while let Some(looked) = looking.join_next().await {
            if let Ok((name, seen)) = looked
                && let Some(machine) = self.machines.get_mut(&name)
            {
                machine.seen = Some(seen.map_err(|source| ProvisionError::Machine {
                    balancer: name,
                    source: Box::new(source),
                }));
            }
        }
    }

    /// What has been seen of each balancer.
    pub fn seen(&self) -> BTreeMap<&Name, Result<&Seen, &ProvisionError>> {
        let seen = self.machines.iter().filter_map(|(name, machine)| {
            let seen = machine.seen.as_ref()?;
            Some((name, seen.as_ref()))
        });
        seen.collect()
    }

    /// Whether there is a machine of a balancer, as far as somebody has looked at it.
    pub fn presence(&self, balancer: &Name) -> Option<Presence> {
        let machine = self.machines.get(balancer)?;
        let seen = machine.seen.as_ref()?.as_ref().ok()?;
        let vanish = seen.plan(Goal::Vanish(&machine.wanted), false);
        Some(match vanish {
            Ok(steps) if steps.iter().all(|step| step.step == FORGET) => Presence::Absent,
            Ok(_) => Presence::Ours,
            Err(_) => Presence::Others,
        })
    }

    /// What it takes.
    pub fn plan(&self) -> FleetPlan {
        let balancers = self.machines.iter().map(|(name, machine)| {
            let planned = self.plan_of(machine);
            let (steps, error) = match planned {
                Ok(steps) => (steps, None),
                Err((problem, help)) => (Vec::new(), Some((problem, help))),
            };
            let (problem, help) = error.unzip();
            let plan = BalancerPlan {
                target: Place::words(&machine.wanted.balancer.target),
                cluster: machine.wanted.balancer.cluster.clone(),
                interrupted: self.memory.interrupted().get(name).cloned(),
                steps,
                problem,
                help: help.flatten(),
            };
            (name.clone(), plan)
        });
        FleetPlan {
            fleet: self.fleet.clone(),
            balancers: balancers.collect(),
        }
    }

    fn plan_of(&self, machine: &Machine) -> Result<Vec<Step>, (String, Option<String>)> {
        let seen = match &machine.seen {
            None => return Err(("nobody has looked at it".to_owned(), None)),
            Some(Err(error)) => return Err((without_name(error), error.help())),
            Some(Ok(seen)) => seen,
        };
        let wanted = &*machine.wanted;
        let goal = match self.intent {
            Intent::Destroy => Goal::Vanish(wanted),
            Intent::Apply | Intent::Adopt | Intent::Look if machine.is_leaving => {
                Goal::Vanish(wanted)
            }
            Intent::Apply | Intent::Adopt | Intent::Look | Intent::Upgrade(_) => Goal::Be(wanted),
            Intent::Rollback => Goal::GoBack(wanted),
        };
        seen.plan(goal, self.intent == Intent::Adopt)
            .map_err(|refusal| {
                let Refusal { why, help } = refusal;
                (why, Some(help))
            })
    }

    /// Carries a plan out. What is done is remembered step by step.
    pub async fn execute(&mut self, plan: FleetPlan, stop: &Stop, events: &Events) -> Outcome {
        let chains = plan.balancers.into_iter().map(|(balancer, plan)| Chain {
            balancer,
            cluster: plan.cluster,
            steps: plan.steps.into(),
        });
        let chains: Vec<Chain> = chains.filter(|chain| !chain.steps.is_empty()).collect();
        let runner = Arc::new(Machines {
            events: events.clone(),
            machines: self
                .machines
                .iter()
                .map(|(name, machine)| {
                    let parts = (Arc::clone(&machine.wanted), Arc::clone(&machine.place));
                    (name.clone(), parts)
                })
                .collect(),
        });
        let mut notes = Written {
            memory: &mut *self.memory,
            machines: &self.machines,
        };
        execute(chains, &runner, &mut notes, PARALLEL, stop, events).await
    }

    /// How to talk to a balancer over the network, when there is a token for it.
    pub fn access(&self, balancer: &Name) -> Option<Access> {
        self.memory.access(balancer)
    }

    /// Lets all connections go.
    pub async fn close(self) {
        for machine in self.machines.values() {
            machine.place.close().await;
        }
    }
}

/// The error of a machine without the name of the balancer, which stands above it.
fn without_name(error: &ProvisionError) -> String {
    match error {
        ProvisionError::Machine { source, .. } => in_full(&**source),
        ProvisionError::Store(_)
        | ProvisionError::Wanted(_)
        | ProvisionError::OwnProgram(_)
        | ProvisionError::Unknown { .. }
        | ProvisionError::TwoPrograms(_)
        | ProvisionError::ProgramOfImage(_)
        | ProvisionError::Lost(_) => error.to_string(),
    }
}

/// The documents that are looked at for this; a wrong one stops everything before anything is done.
fn documents(
    balancers: &BTreeMap<Name, Balancer>,
    base: &Path,
    intent: &Intent,
    names: &[Name],
) -> Result<BTreeMap<Name, Document>, WantedError> {
    let mut documents = BTreeMap::new();
    if !matches!(intent, Intent::Apply | Intent::Adopt) {
        return Ok(documents);
    }
    for (name, balancer) in balancers {
        if (names.is_empty() || names.contains(name))
            && let Some(document) = Document::read(name, balancer, base)?
        {
            documents.insert(name.clone(), document);
        }
    }
    Ok(documents)
}

/// Programs that were read already: their digest takes a while.
struct Programs<'p> {
    own: &'p Path,
    read: BTreeMap<std::path::PathBuf, Program>,
}

impl<'p> Programs<'p> {
    const fn new(own: &'p Path) -> Self {
        Self {
            own,
            read: BTreeMap::new(),
        }
    }

    fn own(&mut self) -> Result<Program, ProvisionError> {
        self.get(self.own).map_err(ProvisionError::OwnProgram)
    }

    fn at(&mut self, balancer: &Name, path: &Path) -> Result<Program, ProvisionError> {
        let read = self.get(path);
        read.map_err(|source| {
            let balancer = balancer.clone();
            WantedError::Program { balancer, source }.into()
        })
    }

    fn get(&mut self, path: &Path) -> Result<Program, crate::program::ProgramError> {
        if let Some(program) = self.read.get(path) {
            return Ok(program.clone());
        }
        let program = Program::read(path)?;
        self.read.insert(path.to_owned(), program.clone());
        Ok(program)
    }
}

/// Does steps on the machines.
struct Machines {
    events: Events,
    machines: BTreeMap<Name, (Arc<Wanted>, Arc<Place>)>,
}

impl Runner for Machines {
    async fn run(&self, step: &Step) -> Result<Left, ProvisionError> {
        let lost = || ProvisionError::Lost(step.balancer.clone());
        let (wanted, place) = self.machines.get(&step.balancer).ok_or_else(lost)?;
        let done = place.run(wanted, &step.work, &self.events).await;
        done.map_err(|source| ProvisionError::Machine {
            balancer: step.balancer.clone(),
            source: Box::new(source),
        })
    }
}

/// Writes down what is done.
struct Written<'w> {
    memory: &'w mut dyn Memory,
    machines: &'w BTreeMap<Name, Machine>,
}

impl Notes for Written<'_> {
    fn begins(&mut self, step: &Step) -> Result<(), ProvisionError> {
        let lost = || ProvisionError::Lost(step.balancer.clone());
        let machine = self.machines.get(&step.balancer).ok_or_else(lost)?;
        let balancer = machine.wanted.balancer.clone();
        let begun = self
            .memory
            .begins(&step.balancer, Recorded { balancer }, step.step);
        Ok(begun?)
    }

    fn ended(
        &mut self,
        step: &Step,
        result: Result<Left, &ProvisionError>,
    ) -> Result<(), ProvisionError> {
        Ok(self.memory.ended(&step.balancer, step.step, result.ok())?)
    }
}
