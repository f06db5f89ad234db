//! `lbctl provision doctor`: whether everything is there that provisioning needs.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use lb_model::value::Name;
use lb_provision::Intent;
use serde::Serialize;

use super::show::Show;
use super::{Looked, look};
use crate::args::FleetArgs;
use crate::output;
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

/// What was looked at.
#[derive(Debug, Serialize)]
struct Diagnosis {
    /// The `ssh` of this machine.
    ssh: Finding,
    balancers: BTreeMap<Name, Finding>,
}

/// What was found in one place.
#[derive(Debug, Serialize)]
struct Finding {
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Finding {
    const fn good(found: String) -> Self {
        Self {
            good: true,
            found,
            help: None,
        }
    }

    const fn bad(found: String, help: Option<String>) -> Self {
        Self {
            good: false,
            found,
            help,
        }
    }
}

pub(super) fn run(args: &FleetArgs, settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let mut show = Show::new(screen, settings.output, false);
    let Looked { session, runtime } = match look(args, Intent::Look, &mut show, screen)? {
        Ok(looked) => looked,
        Err(exit) => return Ok(exit),
    };
    let plan = session.plan();
    let balancers = session.seen().into_iter().map(|(name, seen)| {
        let planned = plan.balancers.get(name);
        let problem = planned.and_then(|plan| plan.problem.clone());
        let help = planned.and_then(|plan| plan.help.clone());
        let finding = match (seen, problem) {
            (_, Some(problem)) => Finding::bad(problem, help),
            (Err(error), None) => Finding::bad(error.to_string(), error.help()),
            (Ok(seen), None) => match seen.diagnosis() {
                Ok(found) => Finding::good(found),
                Err((found, help)) => Finding::bad(found, Some(help)),
            },
        };
        (name.clone(), finding)
    });
    let diagnosis = Diagnosis {
        ssh: ssh(),
        balancers: balancers.collect(),
    };
    runtime.block_on(session.close());
    let all_good = diagnosis.ssh.good && diagnosis.balancers.values().all(|finding| finding.good);
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &diagnosis, |diagnosis| {
        text(diagnosis, paint)
    })?;
    Ok(if all_good { Exit::Done } else { Exit::Failed })
}

fn ssh() -> Finding {
    let asked = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    match asked {
        Ok(told) => Finding::good(String::from_utf8_lossy(&told.stderr).trim().to_owned()),
        Err(error) => Finding::bad(
            format!("the program `ssh` cannot be started: {error}"),
            Some("install the OpenSSH client, such as the package openssh-client".to_owned()),
        ),
    }
}

fn text(diagnosis: &Diagnosis, paint: Paint) -> String {
    let here = [("ssh".to_owned(), &diagnosis.ssh)];
    let machines = diagnosis
        .balancers
        .iter()
        .map(|(name, finding)| (name.to_string(), finding));
    let mut text = String::new();
    for (what, finding) in here.into_iter().chain(machines) {
        let word = if finding.good {
            paint.good("good")
        } else {
            paint.error("bad ")
        };
        text = format!("{text}{word}  {what}: {}\n", finding.found);
        if let Some(help) = &finding.help {
            text = format!("{text}      {} {help}\n", paint.strong("help:"));
        }
    }
    text
}
