//! Problems while they are being found, with their places as byte offsets; lines and columns are
//! counted once, at the end.

use std::fmt::Write;
use std::ops::Range;

use crate::problem::{Code, Path, Position, Problem};

/// The most problems that are listed. Nobody mends more before looking again, and a hostile document
/// could hold one in every few bytes.
const PROBLEMS_MAX: usize = 500;

/// Everything found so far, up to a limit.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    overflowed: bool,
}

#[derive(Debug)]
struct Finding {
    problem: Problem,
    span: Option<Range<usize>>,
    /// Where a key that is given twice stands first.
    earlier: Option<usize>,
}

impl Findings {
    pub(super) fn push(&mut self, problem: Problem, span: Option<Range<usize>>) {
        self.add(Finding {
            problem,
            span,
            earlier: None,
        });
    }

    pub(super) fn push_duplicate(&mut self, key: &str, span: Range<usize>, earlier: Option<usize>) {
        let message = format!("`{key}` is given twice");
        let problem = Problem::new(
            Code::DuplicateKey,
            Path::root(),
            message,
            "keep one of the two",
        );
        self.add(Finding {
            problem,
            span: Some(span),
            earlier,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether no more problems are taken, so that looking for them is in vain.
    pub(super) fn is_full(&self) -> bool {
        self.overflowed
    }

    /// The problems in the order of the text, each with its line and column. Of several on a line
    /// that is not even syntax, the first stays: the others follow from it.
    pub(super) fn into_problems(mut self, text: &str) -> Vec<Problem> {
        self.found
            .sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
        let mut lines = Lines::new(text);
        let mut problems: Vec<Problem> = Vec::with_capacity(self.found.len() + 1);
        let mut broken_line = None;
        for Finding {
            mut problem,
            span,
            earlier,
        } in self.found
        {
            if let Some(earlier) = earlier {
                let line = lines.line_of(earlier);
                // Writing to a `String` cannot fail.
                let _ = write!(problem.message, ", first on line {line}");
            }
            let position = span.map(|span| lines.position(span));
            let line = position.map(|position| position.line);
            if line.is_some() && line == broken_line {
                continue;
            }
            if matches!(problem.code, Code::Syntax | Code::TooDeep) {
                broken_line = line;
                problems.retain(|p| p.position.map(|position| position.line) != line);
            }
            problems.push(problem.at(position));
        }
        if self.overflowed {
            problems.push(Problem::new(
                Code::TooManyProblems,
                Path::root(),
                format!("only the first {PROBLEMS_MAX} problems are listed"),
                "mend these and check again",
            ));
        }
        problems
    }

    fn add(&mut self, finding: Finding) {
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(finding);
        } else {
            self.overflowed = true;
        }
    }
}

/// Turns byte offsets into lines and columns. Offsets that come in order cost one pass over the text
/// in all, however long its lines are.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The last offset that was asked for, and its column.
    last: (usize, usize),
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            starts,
            last: (0, 1),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn position(&mut self, span: Range<usize>) -> Position {
        let offset = self.text.floor_char_boundary(span.start);
        let line = self.line_of(offset);
        let line_start = self.starts.get(line - 1).copied().unwrap_or(0);
        let (from, column) = match self.last {
            (last, column) if last >= line_start && last <= offset => (last, column),
            _ => (line_start, 1),
        };
        let chars = |range: Range<usize>| self.text.get(range).map_or(0, |t| t.chars().count());
        let column = column + chars(from..offset);
        self.last = (offset, column);
        let line_end = self
            .starts
            .get(line)
            .map_or(self.text.len(), |next| next - 1);
        let end = self
            .text
            .floor_char_boundary(span.end.min(line_end).max(offset));
        Position {
            line,
            column,
            length: chars(offset..end).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_in_characters_also_when_asked_for_out_of_order() {
        let text = "añb\r\nsecond ñ x\nlast";
        let mut lines = Lines::new(text);
        let mut at = |needle: &str| {
            let start = text.find(needle).unwrap();
            let position = lines.position(start..start + needle.len());
            (position.line, position.column, position.length)
        };
        assert_eq!(at("b"), (1, 3, 1));
        assert_eq!(at("x"), (2, 10, 1));
        assert_eq!(at("second ñ"), (2, 1, 8));
        assert_eq!(at("last"), (3, 1, 4));
        assert_eq!(lines.position(text.len()..text.len()).column, 5);
    }

    #[test]
    fn a_problem_over_several_lines_is_marked_on_its_first_line() {
        let mut lines = Lines::new("a = [\n1,\n2]\n");
        let position = lines.position(4..11);
        assert_eq!((position.line, position.column, position.length), (1, 5, 1));
    }

    #[test]
    fn what_follows_from_a_syntax_error_on_the_same_line_is_not_listed() {
        let text = "weight = \nname = 1\n";
        let mut findings = Findings::default();
        let problem = |code| Problem::new(code, Path::root(), "", "");
        findings.push(problem(Code::WrongType), Some(0..6));
        findings.push(problem(Code::Syntax), Some(9..9));
        findings.push(problem(Code::OutOfRange), Some(9..9));
        findings.push(problem(Code::WrongType), Some(17..18));
        let codes: Vec<_> = findings
            .into_problems(text)
            .iter()
            .map(|p| p.code)
            .collect();
        assert_eq!(codes, [Code::Syntax, Code::WrongType]);
    }
}
