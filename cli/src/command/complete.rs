//! `lbctl complete`: completions for shells.

use clap::CommandFactory;

use crate::args::{Args, CompleteArgs};
use crate::report::{Exit, Failure};
use crate::screen::Screen;

pub(super) fn run(args: &CompleteArgs, screen: &Screen) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "lbctl", &mut script);
    screen.result(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
