//! `lbctl provision`: balancers on machines.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use lb_model::fleet::{self, ValidFleet};
use lb_model::value::Name;
use lb_provision::{
    FleetPlan, Intent, Outcome, Program, ProgramError, ProvisionError, Session, render,
};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::args::{
    CarryOutArgs, FleetArgs, Output, ProvisionCommand, ProvisionDestroyArgs, ProvisionPlanArgs,
    ProvisionUpgradeArgs,
};
use crate::command::change::ask;
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

mod doctor;
mod show;
mod status;

use show::Show;

#[derive(Debug, thiserror::Error)]
enum FleetError {
    #[error("cannot start an event loop")]
    Runtime(#[source] io::Error),
    #[error("nobody knows where this program is")]
    OwnProgram(#[source] io::Error),
    #[error("the program cannot be used")]
    Program(#[source] ProgramError),
    #[error("nothing was changed: {0} cannot be changed now")]
    Problems(String),
    #[error("{0}")]
    Incomplete(String),
    #[error("it was interrupted before anything was changed")]
    Interrupted,
    #[error("it was interrupted in the middle of a step")]
    Aborted,
    #[error("nothing was destroyed: the fleet is `{0}`, and that was not the answer")]
    NotConfirmed(Name),
    #[error("balancers are going to be destroyed, and nobody is there to ask")]
    NobodyToConfirm(Name),
}

impl Explained for FleetError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Runtime(_) | Self::Interrupted => None,
            Self::OwnProgram(_) => Some("name the program with `--program FILE`".to_owned()),
            Self::Program(error) => Some(error.help()),
            Self::Problems(_) => Some(
                "mend what the plan says; or name the balancers to go on with, to leave the others as they are"
                    .to_owned(),
            ),
            Self::Incomplete(_) | Self::Aborted => Some("the same command goes on where this one was".to_owned()),
            Self::NotConfirmed(name) | Self::NobodyToConfirm(name) => {
                Some(format!("look at the plan, then add `--confirm {name}`"))
            }
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Runtime(_)
            | Self::OwnProgram(_)
            | Self::Problems(_)
            | Self::Incomplete(_)
            | Self::Interrupted
            | Self::Aborted => Exit::Failed,
            Self::Program(_) | Self::NotConfirmed(_) | Self::NobodyToConfirm(_) => Exit::Misuse,
        }
    }
}

impl Explained for ProvisionError {
    fn help(&self) -> Option<String> {
        Self::help(self)
    }

    fn exit(&self) -> Exit {
        if self.is_misuse() {
            Exit::Misuse
        } else {
            Exit::Failed
        }
    }
}

/// Does what was asked for.
pub(super) fn run(
    command: &ProvisionCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    match command {
        ProvisionCommand::Plan(args) => plan(args, settings, screen),
        ProvisionCommand::Apply(args) => {
            change(&args.fleet, Intent::Apply, &args.manner, settings, screen)
        }
        ProvisionCommand::Upgrade(args) => upgrade(args, settings, screen),
        ProvisionCommand::Rollback(args) => change(
            &args.fleet,
            Intent::Rollback,
            &args.manner,
            settings,
            screen,
        ),
        ProvisionCommand::Adopt(args) => {
            change(&args.fleet, Intent::Adopt, &args.manner, settings, screen)
        }
        ProvisionCommand::Destroy(args) => destroy(args, settings, screen),
        ProvisionCommand::Status(args) => status::run(&args.fleet, settings, screen),
        ProvisionCommand::Doctor(args) => doctor::run(&args.fleet, settings, screen),
        ProvisionCommand::Schema => {
            // A schema is for programs: what people get is the JSON too.
            let format = match settings.output {
                Output::Table | Output::Json => Output::Json,
                Output::Yaml => Output::Yaml,
            };
            output::print(screen, format, fleet::json_schema(), |_| String::new())?;
            Ok(Exit::Done)
        }
    }
}

/// A fleet whose machines have been looked at.
struct Looked {
    session: Session,
    runtime: Runtime,
}

/// Reads the fleet, and looks at its machines. Nothing when the document is wrong: that is told.
fn look(
    args: &FleetArgs,
    intent: Intent,
    show: &mut Show<'_>,
    screen: &Screen,
) -> Result<Result<Looked, Exit>, Failure> {
    let fleet = match read(&args.fleet, screen)? {
        Ok(fleet) => fleet,
        Err(exit) => return Ok(Err(exit)),
    };
    let base = args
        .fleet
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let state = args
        .state
        .clone()
        .unwrap_or_else(|| args.fleet.with_extension("state"));
    let own = std::env::current_exe().map_err(FleetError::OwnProgram)?;
    let base = base.unwrap_or(Path::new("."));
    let mut session = Session::open(&fleet, base, &state, &own, intent, &args.balancers)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(FleetError::Runtime)?;
    let discovered = &mut session;
    show.during(&runtime, |events| async move {
        discovered.discover(&events).await;
    });
    if show.was_interrupted() {
        return Err(FleetError::Interrupted.into());
    }
    Ok(Ok(Looked { session, runtime }))
}

fn read(path: &Path, screen: &Screen) -> Result<Result<ValidFleet, Exit>, Failure> {
    let document = Document::read(path)?;
    match document.check_fleet() {
        Ok(fleet) => {
            document.tell(fleet.warnings(), screen);
            Ok(Ok(fleet))
        }
        Err(problems) => {
            document.tell(&problems, screen);
            Ok(Err(Exit::Misuse))
        }
    }
}

fn plan(args: &ProvisionPlanArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let mut show = Show::new(screen, settings.output, false);
    let looked = match look(&args.fleet, Intent::Apply, &mut show, screen)? {
        Ok(looked) => looked,
        Err(exit) => return Ok(exit),
    };
    let plan = looked.session.plan();
    looked.runtime.block_on(looked.session.close());
    let with_colours = screen.paint_stdout().is_on();
    output::print(screen, settings.output, &plan, |plan| {
        render(plan, with_colours)
    })?;
    Ok(if plan.has_problems() {
        Exit::Failed
    } else if args.detailed_exitcode && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

fn upgrade(
    args: &ProvisionUpgradeArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let program = args.program.as_deref().map(Program::read).transpose();
    let program = program.map_err(FleetError::Program)?;
    change(
        &args.fleet,
        Intent::Upgrade(program),
        &args.manner,
        settings,
        screen,
    )
}

fn destroy(
    args: &ProvisionDestroyArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut show = Show::new(screen, settings.output, args.events);
    let looked = match look(&args.fleet, Intent::Destroy, &mut show, screen)? {
        Ok(looked) => looked,
        Err(exit) => return Ok(exit),
    };
    let plan = looked.session.plan();
    screen.error(&render(&plan, screen.paint().is_on()));
    refuse_problems(&plan)?;
    if !plan.is_empty() {
        confirm(&plan.fleet, args.confirm.as_ref(), screen)?;
    }
    carry_out(looked, plan, &mut show, settings, screen)
}

fn confirm(fleet: &Name, given: Option<&Name>, screen: &Screen) -> Result<(), FleetError> {
    let answer = match given {
        Some(name) => name.to_string(),
        None if io::stdin().is_terminal() => {
            screen.error(&format!(
                "To destroy them, type the name of the fleet, {fleet}: "
            ));
            let mut answer = String::new();
            // Nothing read is no.
            drop(io::stdin().lock().read_line(&mut answer));
            answer
        }
        None => return Err(FleetError::NobodyToConfirm(fleet.clone())),
    };
    if answer.trim() == fleet.as_str() {
        Ok(())
    } else {
        Err(FleetError::NotConfirmed(fleet.clone()))
    }
}

fn change(
    args: &FleetArgs,
    intent: Intent,
    manner: &CarryOutArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut show = Show::new(screen, settings.output, manner.events);
    let looked = match look(args, intent, &mut show, screen)? {
        Ok(looked) => looked,
        Err(exit) => return Ok(exit),
    };
    let plan = looked.session.plan();
    let text = render(&plan, screen.paint().is_on());
    if manner.yes && !plan.has_problems() {
        screen.note(&text);
    } else {
        screen.error(&text);
    }
    refuse_problems(&plan)?;
    if !manner.yes && !plan.is_empty() {
        ask("Make these changes?", screen)?;
    }
    carry_out(looked, plan, &mut show, settings, screen)
}

fn refuse_problems(plan: &FleetPlan) -> Result<(), FleetError> {
    let with_problem = plan
        .balancers
        .iter()
        .filter(|(_, plan)| plan.problem.is_some());
    let names: Vec<&str> = with_problem.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        Ok(())
    } else {
        Err(FleetError::Problems(names.join(", ")))
    }
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Done<'o> {
    steps: usize,
    balancers: Vec<&'o Name>,
    left: Vec<&'o Name>,
}

fn carry_out(
    looked: Looked,
    plan: FleetPlan,
    show: &mut Show<'_>,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let Looked {
        mut session,
        runtime,
    } = looked;
    let stop = show.stop();
    let mut outcome = Outcome::default();
    show.during(&runtime, |events| {
        let (session, outcome) = (&mut session, &mut outcome);
        async move { *outcome = session.execute(plan, &stop, &events).await }
    });
    if show.was_aborted() {
        return Err(FleetError::Aborted.into());
    }
    runtime.block_on(session.close());
    let done = Done {
        steps: outcome.steps_done,
        balancers: outcome.done.iter().collect(),
        left: outcome.left.iter().collect(),
    };
    let paint = screen.paint_stdout();
    if outcome.left.is_empty() {
        output::print(screen, settings.output, &done, |done| match done.steps {
            0 => "nothing to do: everything is as it shall be\n".to_owned(),
            1 => paint.good("1 step done") + "\n",
            steps => paint.good(format!("{steps} steps done")) + "\n",
        })?;
        return Ok(Exit::Done);
    }
    if settings.output != Output::Table {
        output::print(screen, settings.output, &done, |_| String::new())?;
    }
    let names: Vec<&str> = done.left.iter().map(|name| name.as_str()).collect();
    let why = if outcome.was_stopped {
        "it was interrupted"
    } else {
        "a step failed"
    };
    let names = names.join(", ");
    Err(FleetError::Incomplete(format!("{why}, and not everything is done on {names}")).into())
}
