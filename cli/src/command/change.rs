//! `lbctl plan`, `apply` and `rollback`: what would change is shown before it is changed.

use std::io::{self, BufRead, IsTerminal};

use lb_client::ClientError;
use lb_model::api::{
    ApplyAnswer, ApplyRequest, ErrorCode, PlanAnswer, PlanRequest, RollbackRequest, Source, Wanted,
};
use lb_model::plan::{self, Plan};
use lb_model::problem::{self, Problem};

use crate::args::{ApplyArgs, MannerArgs, PlanArgs, RollbackArgs};
use crate::balancer::Balancer;
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error("there are changes, and nobody to ask whether to make them")]
    NobodyToAsk,
    #[error("nothing was changed, as the plan was declined")]
    Declined,
    #[error("the plan is out of date: {0}")]
    Stale(String),
    #[error("cannot write the document as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl Explained for ChangeError {
    fn help(&self) -> Option<String> {
        match self {
            Self::NobodyToAsk => Some("look at the plan, then add --yes".to_owned()),
            Self::Declined | Self::Unwritable(_) => None,
            Self::Stale(_) => Some(
                "see what has changed with `lbctl history`, then ask again: the plan is made anew"
                    .to_owned(),
            ),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NobodyToAsk => Exit::Misuse,
            Self::Declined | Self::Stale(_) | Self::Unwritable(_) => Exit::Failed,
        }
    }
}

pub(super) fn plan(args: &PlanArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let document = Document::read(&args.file)?;
    let wanted = match wanted(&document, screen)? {
        Ok(wanted) => wanted,
        Err(exit) => return Ok(exit),
    };
    let balancer = Balancer::of(settings)?;
    let planned = match ask_for_plan(&balancer, wanted) {
        Ok(planned) => planned,
        Err(error) => return told(error, &document.name, screen),
    };
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &planned, |planned| {
        shown(&planned.plan, paint)
    })?;
    Ok(if args.detailed_exitcode && !planned.plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

pub(super) fn apply(
    args: &ApplyArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let document = Document::read(&args.file)?;
    let wanted = match wanted(&document, screen)? {
        Ok(wanted) => wanted,
        Err(exit) => return Ok(exit),
    };
    let balancer = Balancer::of(settings)?;
    let planned = match ask_for_plan(&balancer, wanted.clone()) {
        Ok(planned) => planned,
        Err(error) => return told(error, &document.name, screen),
    };
    agree(&planned.plan, &args.manner, screen)?;
    let request = ApplyRequest {
        change: wanted,
        parent: Some(planned.parent),
        comment: args.manner.comment.clone(),
        confirm: args.manner.confirm,
        source: Source::Cli,
    };
    match balancer.wait(balancer.client.apply(&request)) {
        Ok(applied) => tell_applied(&applied, settings, screen),
        Err(error) => told(error, &document.name, screen),
    }
}

pub(super) fn rollback(
    args: &RollbackArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let planned = ask_for_plan(&balancer, Wanted::Rollback(args.number))?;
    agree(&planned.plan, &args.manner, screen)?;
    let request = RollbackRequest {
        number: args.number,
        parent: Some(planned.parent),
        comment: args.manner.comment.clone(),
        confirm: args.manner.confirm,
    };
    match balancer.wait(balancer.client.rollback(&request)) {
        Ok(applied) => tell_applied(&applied, settings, screen),
        Err(error) => told(error, &format!("revision {}", args.number), screen),
    }
}

/// What a document asks for; a wrong one is told about with its lines, and an exit code is left.
fn wanted(document: &Document, screen: &Screen) -> Result<Result<Wanted, Exit>, Failure> {
    let config = match document.check_for_use(screen) {
        Ok(config) => config,
        Err(exit) => return Ok(Err(exit)),
    };
    let value = serde_json::to_value(config.config()).map_err(ChangeError::Unwritable)?;
    Ok(Ok(Wanted::Document(value)))
}

pub(super) fn ask_for_plan(balancer: &Balancer, change: Wanted) -> Result<PlanAnswer, ClientError> {
    let request = PlanRequest {
        change,
        parent: None,
    };
    balancer.wait(balancer.client.plan(&request))
}

/// Shows the plan, and asks on a terminal whether to go on.
pub(super) fn agree(plan: &Plan, manner: &MannerArgs, screen: &Screen) -> Result<(), Failure> {
    let text = shown(plan, screen.paint());
    if plan.is_empty() {
        screen.note(&text);
        return Ok(());
    }
    if manner.yes {
        screen.note(&text);
        return Ok(());
    }
    screen.error(&text);
    ask("Make these changes?", screen)
}

/// Asks on a terminal whether to go on.
pub(super) fn ask(question: &str, screen: &Screen) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(ChangeError::NobodyToAsk.into());
    }
    screen.error(&format!("{question} [y/N] "));
    let mut answer = String::new();
    // Nothing read is no.
    drop(io::stdin().lock().read_line(&mut answer));
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(ChangeError::Declined.into())
    }
}

/// A plan as people read it.
pub(super) fn shown(plan: &Plan, paint: Paint) -> String {
    if plan.is_empty() {
        return "nothing to do: the balancer is as it should be\n".to_owned();
    }
    if paint.is_on() {
        plan::render_ansi(plan)
    } else {
        plan::render(plan)
    }
}

/// Prints what became of a change.
pub(super) fn tell_applied(
    applied: &ApplyAnswer,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    tell_problems(&applied.warnings, "the document", screen);
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, applied, |applied| {
        let number = applied.revision.number;
        let title = paint.good(format!("revision {number} is in force"));
        match applied.revision.confirm_until {
            Some(until) => {
                let command = paint.code(format!("lbctl confirm {number}"));
                format!("{title}, and is taken back at {until} unless: {command}\n")
            }
            None => format!("{title}\n"),
        }
    })?;
    Ok(Exit::Done)
}

/// An error that may bring problems of a document with it.
pub(super) fn told(error: ClientError, name: &str, screen: &Screen) -> Result<Exit, Failure> {
    tell_problems(error.problems(), name, screen);
    match error.code() {
        Some(ErrorCode::Stale) => Err(ChangeError::Stale(error.to_string()).into()),
        _ => Err(error.into()),
    }
}

fn tell_problems(problems: &[Problem], name: &str, screen: &Screen) {
    if problems.is_empty() {
        return;
    }
    let text = if screen.paint().is_on() {
        problem::render_ansi(problems, name, None)
    } else {
        problem::render(problems, name, None)
    };
    screen.error(&text);
}
