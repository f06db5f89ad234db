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
    let lines: Vec<&str> = text.map(|text| text.lines().collect()).unwrap_or_default();
    let mut out = String::new();
    for (i, problem) in problems.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let line = problem
            .position
            .and_then(|position| lines.get(position.line.checked_sub(1)?));
        // Writing to a `String` cannot fail.
        let _ = one(&mut out, colours, problem, file_name, line.copied());
    }
    out
}

fn one(
    out: &mut String,
    colours: &Colours,
    problem: &Problem,
    file_name: &str,
    line: Option<&str>,
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
    match (problem.position, line) {
        (Some(position), Some(line)) => {
            let (shown, column, length) = excerpt(line, position);
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

/// The part of a line to show, and where in it the marks begin and how many there are. One shown
/// character stands for one of the line, so that marks stay under what they mean.
fn excerpt(line: &str, position: Position) -> (String, usize, usize) {
    let column = position.column.saturating_sub(1);
    let chars: Vec<char> = line.chars().map(visible).collect();
    let start = if chars.len() <= LINE_CHARS_MAX {
        0
    } else {
        column
            .saturating_sub(LINE_CHARS_MAX / 3)
            .min(chars.len() - LINE_CHARS_MAX)
    };
    let mut shown: String = chars.iter().skip(start).take(LINE_CHARS_MAX).collect();
    let mut before = 0;
    if start > 0 {
        shown.insert(0, '…');
        before = 1;
    }
    if start + LINE_CHARS_MAX < chars.len() {
        shown.push('…');
    }
    let column = (column - start.min(column)).min(LINE_CHARS_MAX);
    let length = position.length.clamp(1, (LINE_CHARS_MAX - column).max(1));
    (shown, before + column, length)
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
