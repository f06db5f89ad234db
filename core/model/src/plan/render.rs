//! A plan for people: one line for each change with what it does to whom, then a line that sums up.

use std::fmt::{self, Write};

use serde_json::Value;

use super::{Action, Change, Effect, Plan};
use crate::print::on_one_line;
use crate::problem::printable;
use crate::schema::Spot;

/// The most characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 60;

/// How much is shown of what two long values begin with.
const COMMON_CHARS: usize = 10;

/// The most characters of a line before its effect that others are lined up with.
const LINE_CHARS_MAX: usize = 72;

/// The plan as text without colours.
pub fn render(plan: &Plan) -> String {
    render_with(&PLAIN, plan)
}

/// The same with colours for a terminal.
pub fn render_ansi(plan: &Plan) -> String {
    render_with(&ANSI, plan)
}

struct Colours {
    added: &'static str,
    changed: &'static str,
    moved: &'static str,
    removed: &'static str,
    live: &'static str,
    strong: &'static str,
    off: &'static str,
}

const PLAIN: Colours = Colours {
    added: "",
    changed: "",
    moved: "",
    removed: "",
    live: "",
    strong: "",
    off: "",
};

const ANSI: Colours = Colours {
    added: "\u{1b}[32m",
    changed: "\u{1b}[33m",
    moved: "\u{1b}[36m",
    removed: "\u{1b}[31m",
    live: "\u{1b}[2m",
    strong: "\u{1b}[1m",
    off: "\u{1b}[0m",
};

fn render_with(colours: &Colours, plan: &Plan) -> String {
    let mut out = String::new();
    if plan.is_empty() {
        out.push_str("No changes.\n");
        return out;
    }
    let lines: Vec<String> = plan.changes.iter().map(what).collect();
    let widths = lines.iter().map(|line| line.chars().count());
    let width = widths.filter(|width| *width <= LINE_CHARS_MAX).max();
    for (change, line) in plan.changes.iter().zip(&lines) {
        let sign = match change.action {
            Action::Add => colours.added,
            Action::Change => colours.changed,
            Action::Move => colours.moved,
            Action::Remove => colours.removed,
        };
        let colour = match change.effect {
            Effect::Live => colours.live,
            Effect::Drain | Effect::Rebind => colours.changed,
            Effect::Restart => colours.removed,
        };
        let (effect, off) = (Told(change), colours.off);
        let (mark, width) = (change.action.sign(), width.unwrap_or_default());
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            out,
            "{sign}{mark}{off} {line:width$}   {colour}{effect}{off}"
        );
    }
    let (strong, off) = (colours.strong, colours.off);
    let _ = writeln!(out, "\n{strong}Plan:{off} {}.", totals(plan));
    out
}

/// What a change does, without what it means for traffic.
fn what(change: &Change) -> String {
    let path = &change.path;
    let (before, after) = values(change);
    let place = |place: &Option<super::Place>| place.as_ref().map(ToString::to_string);
    match (change.action, place(&change.from), place(&change.to)) {
        (Action::Add, _, Some(to)) => format!("{path}: {to}, {after}"),
        (Action::Add, _, None) => format!("{path}: {after}"),
        (Action::Change, ..) => format!("{path}: {before} -> {after}"),
        (Action::Move, Some(from), Some(to)) => format!("{path}: {from} -> {to}"),
        (Action::Move | Action::Remove, ..) => path.to_string(),
    }
}

/// Both values as they are written in a document, cut short around what is different.
fn values(change: &Change) -> (String, String) {
    let spot = Spot::of_path(change.path.steps());
    let write = |value: Option<Value>| match (value, spot) {
        (None, _) => "not set".to_owned(),
        (Some(value), Some(spot)) => printable_line(&on_one_line(spot.shape, &value)),
        (Some(value), None) => printable_line(&value.to_string()),
    };
    let (before, after) = change.shown();
    let (before, after) = (write(before), write(after));
    let is_long = |text: &str| text.chars().nth(VALUE_CHARS_MAX).is_some();
    if change.action != Action::Change || !is_long(&before) && !is_long(&after) {
        return (cut_short(&before, 0), cut_short(&after, 0));
    }
    let common = before
        .chars()
        .zip(after.chars())
        .take_while(|(a, b)| a == b);
    let skip = common.count().saturating_sub(COMMON_CHARS);
    (cut_short(&before, skip), cut_short(&after, skip))
}

/// The text with everything visible that a terminal would act on.
fn printable_line(text: &str) -> String {
    text.chars()
        .map(|c| printable(c.encode_utf8(&mut [0; 4])))
        .collect()
}

/// At most so many characters of a text, without its first ones.
fn cut_short(text: &str, skip: usize) -> String {
    let mut short = String::new();
    if skip > 0 {
        short.push('…');
    }
    short.extend(text.chars().skip(skip).take(VALUE_CHARS_MAX));
    if text.chars().nth(skip + VALUE_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// What a change means for traffic.
struct Told<'c>(&'c Change);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change {
            effect,
            before,
            after,
            connections,
            ..
        } = self.0;
        write!(f, "{effect}")?;
        let opens = before.is_none() || *after == Some(true.into());
        let closes = after.is_none() || *after == Some(false.into());
        match effect {
            Effect::Live => return Ok(()),
            Effect::Drain => f.write_str(": ")?,
            Effect::Rebind if opens => return f.write_str(": a socket opens"),
            Effect::Rebind if closes => f.write_str(": its socket closes, ")?,
            Effect::Rebind => f.write_str(": its socket moves, ")?,
            Effect::Restart => return f.write_str(": only in force after a restart"),
        }
        match connections {
            None => f.write_str("open connections finish"),
            Some(0) => f.write_str("no open connections"),
            Some(1) => f.write_str("1 connection finishes"),
            Some(n) => write!(f, "{n} connections finish"),
        }
    }
}

fn totals(plan: &Plan) -> String {
    let count = |is: &dyn Fn(&Change) -> bool| plan.changes.iter().filter(|c| is(c)).count();
    let actions = [
        (Action::Add, "to add"),
        (Action::Change, "to change"),
        (Action::Move, "to move"),
        (Action::Remove, "to remove"),
    ];
    let actions = actions.map(|(action, text)| (count(&|c| c.action == action), text));
    let effects = Effect::ALL.map(|effect| (count(&|c| c.effect == effect), effect.as_str()));
    format!("{}; {}", listed(&actions), listed(&effects))
}

/// What there is of each, without those of which there is nothing.
fn listed(counts: &[(usize, &str)]) -> String {
    let there = counts.iter().filter(|(count, _)| *count > 0);
    let texts = there.map(|(count, text)| format!("{count} {text}"));
    texts.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action.sign(), what(self))
    }
}
