//! The two streams that a person or a program reads: results on the standard output, notes and
//! errors on the standard error. A reader that went away is no error.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::args::{Color, GlobalArgs};
use crate::report::{Exit, Explained};

/// Where to write, and how.
#[derive(Debug)]
pub(crate) struct Screen {
    stdout: io::Stdout,
    stderr: io::Stderr,
    paint: Paint,
    paint_stdout: Paint,
    quiet: bool,
    /// Whether the standard error may show what moves.
    pub(crate) progress: bool,
}

/// The standard output took no more.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the standard output")]
pub(crate) struct StdoutError(#[source] io::Error);

impl Explained for StdoutError {
    fn help(&self) -> Option<String> {
        None
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Screen {
    /// The screen before settings are read: flags alone decide.
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        let mut screen = Self {
            stdout: io::stdout(),
            stderr: io::stderr(),
            paint: Paint(false),
            paint_stdout: Paint(false),
            quiet: global.quiet,
            progress: !global.no_progress && !global.quiet && io::stderr().is_terminal(),
        };
        screen.set_color(global.color.unwrap_or_default());
        screen
    }

    /// Decides on colours, for each stream by itself.
    pub(crate) fn set_color(&mut self, color: Color) {
        // https://no-color.org: any value but the empty one.
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Auto => terminal && !unwanted,
            Color::Never => false,
        };
        self.paint = Paint(wanted(self.stderr.is_terminal()));
        self.paint_stdout = Paint(wanted(self.stdout.is_terminal()));
    }

    /// Keeps notes off the standard error, where a log for programs goes.
    pub(crate) fn silence_notes(&mut self) {
        self.quiet = true;
        self.progress = false;
    }

    /// Colours for the standard error.
    pub(crate) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Colours for the standard output.
    pub(crate) const fn paint_stdout(&self) -> Paint {
        self.paint_stdout
    }

    /// Prints a result.
    pub(crate) fn result(&self, text: &str) -> Result<(), StdoutError> {
        self.stream(text).map(drop)
    }

    /// Prints a part of a result that has no end; whether anybody still reads it.
    pub(crate) fn stream(&self, text: &str) -> Result<bool, StdoutError> {
        let mut stdout = self.stdout.lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(StdoutError(error)),
        }
    }

    /// Prints a note, unless notes are unwanted.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.error(text);
        }
    }

    /// Prints what must be seen. When the standard error is closed there is nobody to tell.
    pub(crate) fn error(&self, text: &str) {
        drop(self.stderr.lock().write_all(text.as_bytes()));
    }
}

/// A terminal's second screen, where one picture replaces the other; what was there before comes
/// back when this is dropped.
#[derive(Debug)]
pub(crate) struct Picture<'s> {
    screen: &'s Screen,
}

impl<'s> Picture<'s> {
    /// Takes the second screen, when the standard output is a terminal.
    pub(crate) fn begin(screen: &'s Screen) -> Option<Self> {
        if !screen.stdout.is_terminal() {
            return None;
        }
        let picture = Self { screen };
        drop(screen.result("\x1b[?1049h\x1b[?25l"));
        Some(picture)
    }

    /// Shows this in the place of what is there, cut to the size of the terminal.
    /// Gives whether anybody still looks.
    pub(crate) fn show(&self, text: &str) -> Result<bool, StdoutError> {
        let size = rustix::termios::tcgetwinsize(&self.screen.stdout).ok();
        let rows = size.map_or(24, |size| usize::from(size.ws_row).max(2));
        let columns = size.map_or(80, |size| usize::from(size.ws_col).max(20));
        let mut shown = "\x1b[H".to_owned();
        for line in text.lines().take(rows - 1) {
            shown.push_str(&cut(line, columns));
            shown.push_str("\x1b[K\r\n");
        }
        shown.push_str("\x1b[J");
        self.screen.stream(&shown)
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        drop(self.screen.result("\x1b[?25h\x1b[?1049l"));
    }
}

/// The first columns of a line; colours take none, and end with it.
fn cut(line: &str, columns: usize) -> String {
    let mut text = String::with_capacity(line.len());
    let mut used = 0;
    let mut in_code = false;
    for c in line.chars() {
        if in_code || c == '\x1b' {
            in_code = c != 'm';
            text.push(c);
        } else if used < columns {
            used += 1;
            text.push(c);
        }
    }
    text
}

impl Paint {
    /// Whether there are colours.
    pub(crate) const fn is_on(self) -> bool {
        self.0
    }

    /// Something went wrong.
    pub(crate) fn error(self, text: impl fmt::Display) -> String {
        self.wrap("\x1b[1;31m", text)
    }

    /// Something went well.
    pub(crate) fn good(self, text: impl fmt::Display) -> String {
        self.wrap("\x1b[1;32m", text)
    }

    /// Something to look at.
    pub(crate) fn strong(self, text: impl fmt::Display) -> String {
        self.wrap("\x1b[1m", text)
    }

    /// Something to type or to open.
    pub(crate) fn code(self, text: impl fmt::Display) -> String {
        self.wrap("\x1b[36m", text)
    }

    /// Something that can be passed over.
    pub(crate) fn faint(self, text: impl fmt::Display) -> String {
        self.wrap("\x1b[2m", text)
    }

    fn wrap(self, start: &str, text: impl fmt::Display) -> String {
        if self.0 {
            format!("{start}{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edge_of_the_terminal_and_its_colours_end() {
        assert_eq!(cut("web/iis1 up", 5), "web/i");
        assert_eq!(cut("\x1b[31mdown\x1b[0m for", 6), "\x1b[31mdown\x1b[0m f");
        assert_eq!(cut("\x1b[31mdown for\x1b[0m", 4), "\x1b[31mdown\x1b[0m");
    }
}
