//! `lbctl history` and `confirm`.

use std::fmt::Write;

use lb_model::api::{Revision, Revisions};

use crate::args::{ConfirmArgs, HistoryArgs};
use crate::balancer::Balancer;
use crate::output::{self, Table};
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

pub(super) fn history(
    args: &HistoryArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let asked = balancer.client.revisions(None, args.limit.into());
    let revisions = balancer.wait(asked)?;
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &revisions, |revisions| {
        table(revisions, paint)
    })?;
    Ok(Exit::Done)
}

pub(super) fn confirm(
    args: &ConfirmArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let number = match args.number {
        Some(number) => number,
        None => balancer.wait(balancer.client.revisions(None, 1))?.current,
    };
    let confirmed = balancer.wait(balancer.client.confirm(number))?;
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &confirmed, |revision| {
        let title = format!("revision {} stays in force", revision.number);
        format!("{}\n", paint.good(title))
    })?;
    Ok(Exit::Done)
}

fn table(revisions: &Revisions, paint: Paint) -> String {
    let mut table = Table::new(["", "REVISION", "MADE", "BY", "FROM", "WHAT CHANGED"]);
    for revision in &revisions.revisions {
        let mark = if revision.number == revisions.current {
            "*"
        } else {
            ""
        };
        table.row([
            mark.to_owned(),
            revision.number.to_string(),
            made(revision),
            revision.author.clone(),
            revision.source.as_str().to_owned(),
            what(revision),
        ]);
    }
    table.text(paint)
}

/// The time of a revision as people read it: without fractions.
fn made(revision: &Revision) -> String {
    let text = revision.made_at.to_string();
    let (second, _) = text.split_once('.').unwrap_or((&text, ""));
    second.replace('T', " ") + "Z"
}

fn what(revision: &Revision) -> String {
    let mut text = revision.summary.clone();
    if let Some(comment) = &revision.comment {
        write!(text, "  # {comment}").expect("a String takes every write");
    }
    if let Some(until) = revision.confirm_until {
        write!(text, "  (taken back at {until} unless confirmed)")
            .expect("a String takes every write");
    }
    text
}
