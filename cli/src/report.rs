//! How a command tells that it failed: `error:`, the causes, and `help:` with what to do.

use std::error::Error;
use std::fmt::Write;

use crate::screen::Screen;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It was tried and failed.
    Failed,
    /// The call or the document was wrong; nothing was tried.
    Misuse,
    /// There are changes that were asked about.
    Pending,
}

/// An error that knows what an operator can do about it.
pub(crate) trait Explained: Error + Send + Sync + 'static {
    /// What to do, when there is something.
    fn help(&self) -> Option<String>;

    /// How the program ends.
    fn exit(&self) -> Exit;
}

/// Why a command could not do what was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    help: Option<String>,
    exit: Exit,
}

impl<E: Explained> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            help: error.help(),
            exit: error.exit(),
            error: Box::new(error),
        }
    }
}

impl Failure {
    /// Tells it to the operator.
    pub(crate) fn tell(self, screen: &Screen) -> Exit {
        let paint = screen.paint();
        let mut text = format!("{} {}\n", paint.error("error:"), self.error);
        let mut source = self.error.source();
        while let Some(cause) = source {
            writeln!(text, "  caused by: {cause}").expect("a String takes every write");
            source = cause.source();
        }
        if let Some(help) = self.help {
            writeln!(text, "{} {help}", paint.strong("help:")).expect("a String takes every write");
        }
        screen.error(&text);
        self.exit
    }
}
