//! `lbctl firstboot` and `lbctl install`: a machine becomes what its seed says.

use std::error::Error;

use lb_firstboot::{FirstBootError, Options, Report};
use lb_model::seed::Then;

use crate::args::{FirstbootArgs, InstallArgs};
use crate::report::{Exit, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// Tells everything on the standard error: that is the console of a machine that starts.
pub(super) fn run(
    args: &FirstbootArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    if args.state_disk {
        return state_disk(screen);
    }
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
    Ok(if errors.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn state_disk(screen: &Screen) -> Result<Exit, Failure> {
    let Some(device) = lb_firstboot::state_disk() else {
        return Ok(Exit::Failed);
    };
    screen.result(&format!("{}\n", device.display()))?;
    Ok(Exit::Done)
}

/// Tells everything on the standard error, as above, and what the machine is to do on the standard output.
pub(super) fn install(args: &InstallArgs, screen: &Screen) -> Result<Exit, Failure> {
    let mut say = |text: &str| screen.note(&format!("{text}\n"));
    match lb_firstboot::install(args.timeout.duration(), &mut say) {
        Ok(None) => Ok(Exit::Done),
        Ok(Some(Then::PowerOff)) => {
            screen.result("poweroff\n")?;
            Ok(Exit::Done)
        }
        Ok(Some(Then::Restart)) => {
            screen.result("reboot\n")?;
            Ok(Exit::Done)
        }
        Err(error) => {
            let paint = screen.paint();
            screen.error(&format!("{} {}\n", paint.error("error:"), error.in_full()));
            Ok(Exit::Failed)
        }
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
