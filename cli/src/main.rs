//! `lbctl`: a load balancer and application delivery controller, and the tool that runs it.
//!
//! Results go to the standard output, notes and errors to the standard error. The exit code is 0
//! when done, 1 when it failed, 2 when the call or the document was wrong and nothing was tried, and 3
//! when `plan` found changes and was asked to tell so.

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::report::Exit;
use crate::screen::Screen;

mod args;
mod balancer;
mod command;
mod document;
mod fields;
mod output;
mod report;
mod screen;
mod settings;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A closed pipe behind `--help` is nobody's mistake.
            drop(error.print());
            let code = u8::try_from(error.exit_code()).unwrap_or(1);
            return ExitCode::from(code);
        }
    };
    let mut screen = Screen::new(&args.global);
    let exit = match command::run(args, &mut screen) {
        Ok(exit) => exit,
        Err(failure) => failure.tell(&screen),
    };
    ExitCode::from(match exit {
        Exit::Done => 0,
        Exit::Failed => 1,
        Exit::Misuse => 2,
        Exit::Pending => 3,
    })
}
