//! Problems as people read them: in the style of a compiler, with the line and what to do.

use std::fmt::Write;

use super::{Position, Problem, Severity};

/// The most characters of a line that are shown; of a longer one, those around the problem.
const LINE_CHARS_MAX: usize = 120;

/// The problems as text without colours. `text` is the document, to quote its lines.
pub fn render(problems: &[Problem], file_name: &str, text: Option<&str>) -> String {
    render_with(&PLAIN, problems, file_name, text)
}

/// The same with colours for a terminal.
pub fn render_ansi(problems: &[Problem], file_name: &str, text: Option<&str>) -> String {
    render_with(&ANSI, problems, file_name, text)
}

struct Colours {
    error: &'static str,
    warning: &'static str,
    strong: &'static str,
    gutter: &'static str,
    off: &'static str,
}

const PLAIN: Colours = Colours {
    error: "",
    warning: "",
    strong: "",
    gutter: "",
    off: "",
};

const ANSI: Colours = Colours {
    error: "\u{1b}[1;31m",
    warning: "\u{1b}[1;33m",
    strong: "\u{1b}[1m",
    gutter: "\u{1b}[1;34m",
    off: "\u{1b}[0m",
};

fn render_with(
    colours: &Colours,
    problems: &[Problem],
    file_name: &str,
    text: Option<&str>,
) -> String {
    let mut lines = text.map(Lines::new);
    let mut out = String::new();
    for (i, problem) in problems.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let place = lines
            .as_mut()
            .zip(problem.position)
            .and_then(|(lines, position)| lines.find(position));
        // Writing to a `String` cannot fail.
        let _ = one(&mut out, colours, problem, file_name, place);
    }
    out
}

fn one(
    out: &mut String,
    colours: &Colours,
    problem: &Problem,
    file_name: &str,
    place: Option<(&str, usize)>,
) -> std::fmt::Result {
    let Colours {
        strong,
        gutter,
        off,
        ..
    } = *colours;
    let colour = match problem.severity {
        Severity::Error => colours.error,
        Severity::Warning => colours.warning,
    };
    let (severity, code, message) = (problem.severity.as_str(), problem.code, &problem.message);
    writeln!(
        out,
        "{colour}{severity}[{code}]{off}{strong}: {message}{off}"
    )?;
    let number = problem
        .position
        .map(|p| p.line.to_string())
        .unwrap_or_default();
    let blank = " ".repeat(number.len().max(1));
    match problem.position {
        Some(Position { line, column, .. }) => {
            writeln!(out, "{blank}{gutter}-->{off} {file_name}:{line}:{column}")?;
        }
        None => writeln!(out, "{blank}{gutter}-->{off} {file_name}")?,
    }
    match (problem.position, place) {
        (Some(position), Some((line, at))) => {
            let (shown, column, length) = excerpt(line, at, position.length);
            let marks = "^".repeat(length);
            let (indent, path) = (" ".repeat(column), problem.path.to_string());
            writeln!(out, "{blank} {gutter}|{off}")?;
            writeln!(out, "{gutter}{number} |{off} {shown}")?;
            let label = format!("{blank} {gutter}|{off} {indent}{colour}{marks} {path}");
            writeln!(out, "{}{off}", label.trim_end())?;
        }
        _ if !problem.path.steps().is_empty() => {
            writeln!(out, "{blank} {gutter}={off} at: {}", problem.path)?;
        }
        _ => {}
    }
    if !problem.help.is_empty() {
        writeln!(
            out,
            "{blank} {gutter}={off} {strong}help{off}: {}",
            problem.help
        )?;
    }
    Ok(())
}

/// The part of a line to show around the byte `at`, and where in it the marks begin and how many
/// there are. One shown character stands for one of the line, so that marks stay under what they
/// mean.
fn excerpt(line: &str, at: usize, length: usize) -> (String, usize, usize) {
    let (before, after) = line.split_at_checked(at).unwrap_or((line, ""));
    let is_whole = line.chars().nth(LINE_CHARS_MAX).is_none();
    let before_max = if is_whole {
        LINE_CHARS_MAX
    } else {
        LINE_CHARS_MAX / 3
    };
    let kept: Vec<char> = before.chars().rev().take(before_max).collect();
    let after_max = LINE_CHARS_MAX - kept.len();
    let mut shown = String::new();
    if before.chars().rev().nth(before_max).is_some() {
        shown.push('…');
    }
    shown.extend(kept.into_iter().rev().map(visible));
    let indent = shown.chars().count();
    shown.extend(after.chars().take(after_max).map(visible));
    if after.chars().nth(after_max).is_some() {
        shown.push('…');
    }
    (shown, indent, length.clamp(1, after_max.max(1)))
}

/// Finds lines and columns in a text. Problems come in the order of the text, so it looks forward
/// from the last one; a document on one line may be megabytes long.
struct Lines<'t> {
    text: &'t str,
    line: usize,
    start: usize,
    end: usize,
    column: usize,
    at: usize,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let end = text.find('\n').unwrap_or(text.len());
        Self {
            text,
            line: 1,
            start: 0,
            end,
            column: 1,
            at: 0,
        }
    }

    /// The line of a position, and the byte in it where its column is.
    fn find(&mut self, position: Position) -> Option<(&'t str, usize)> {
        if (position.line, position.column) < (self.line, self.column) {
            *self = Self::new(self.text);
        }
        while self.line < position.line {
            let rest = self.text.get(self.end + 1..)?;
            self.start = self.end + 1;
            self.end = rest
                .find('\n')
                .map_or(self.text.len(), |length| self.start + length);
            (self.line, self.column, self.at) = (self.line + 1, 1, self.start);
        }
        let rest = self.text.get(self.at..self.end)?;
        let passed: usize = rest
            .chars()
            .take(position.column.saturating_sub(self.column))
            .map(|c| {
                self.column += 1;
                c.len_utf8()
            })
            .sum();
        self.at += passed;
        let line = self.text.get(self.start..self.end)?;
        Some((
            line.strip_suffix('\r').unwrap_or(line),
            self.at - self.start,
        ))
    }
}

fn visible(c: char) -> char {
    if c == '\t' {
        ' '
    } else if c.is_control() || super::is_bidi_control(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Code, Path};

    fn problem(line: usize, column: usize, length: usize) -> Problem {
        let path = Path::root().key("pools").key("web").key("weight");
        Problem::new(Code::OutOfRange, path, "2000 is too large", "use 0 to 1000").at(Some(
            Position {
                line,
                column,
                length,
            },
        ))
    }

    #[test]
    fn a_problem_shows_its_line_and_what_to_do() {
        let text = "a = 1\n\tweight = 2000\n";
        assert_eq!(
            render(&[problem(2, 11, 4)], "lb.toml", Some(text)),
            "error[E0104]: 2000 is too large\n \
             --> lb.toml:2:11\n  \
             |\n\
             2 |  weight = 2000\n  \
             |           ^^^^ pools.web.weight\n  \
             = help: use 0 to 1000\n"
        );
    }

    #[test]
    fn a_problem_in_a_document_on_one_long_line_shows_only_what_is_around_it() {
        let text = format!("{}2000{}", "x".repeat(5000), "y".repeat(5000));
        let shown = render(&[problem(1, 5001, 4)], "lb.json", Some(&text));
        assert!(
            shown.lines().all(|line| line.chars().count() < 140),
            "{shown}"
        );
        let lines: Vec<_> = shown.lines().collect();
        let marks = lines[4].chars().position(|c| c == '^').unwrap();
        assert_eq!(
            lines[3].chars().skip(marks).take(4).collect::<String>(),
            "2000"
        );
    }

    #[test]
    fn a_position_outside_the_text_is_no_panic() {
        for (line, column) in [(0, 0), (1, 0), (1, 99), (9, 9)] {
            render(
                &[problem(line, column, usize::MAX)],
                "lb.toml",
                Some("x = 1"),
            );
        }
    }
}
