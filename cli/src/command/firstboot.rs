//! `lbctl firstboot`: a machine becomes what its seed says.

use std::error::Error;

use lb_firstboot::{FirstBootError, Options, Report};

use crate::args::FirstbootArgs;
use crate::report::Exit;
use crate::screen::Screen;
use crate::settings::Settings;

/// Tells everything on the standard error: that is the console of a machine that starts.
pub(super) fn run(args: &FirstbootArgs, settings: &Settings, screen: &Screen) -> Exit {
    let Report { done, errors } = lb_firstboot::run(&Options {
        state_dir: args
            .state_dir
            .as_ref()
            .unwrap_or(&settings.state_dir)
            .clone(),
        seed: args.seed.clone(),
        no_network: args.no_network,
        timeout: args.timeout.duration(),
    });
    for line in done {
        screen.note(&format!("{line}\n"));
    }
    for error in &errors {
        screen.error(&text(error, screen));
    }
    if errors.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    }
}

fn text(error: &FirstBootError, screen: &Screen) -> String {
    let paint = screen.paint();
    let mut text = format!("{} {error}", paint.error("error:"));
    let mut source = error.source();
    while let Some(cause) = source {
        text.extend([": ", &cause.to_string()]);
        source = cause.source();
    }
    format!("{text}\n{} {}\n", paint.strong("help:"), error.help())
}
