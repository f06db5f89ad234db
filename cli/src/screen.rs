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
        let mut stdout = self.stdout.lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(StdoutError(error)),
            Ok(()) | Err(_) => Ok(()),
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
