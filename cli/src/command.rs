//! The commands: each reads what it needs, does its work and prints the result.

use crate::args::{Args, Command};
use crate::report::{Exit, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

mod complete;
mod demo;
mod explain;
mod man;
mod run;
mod schema;
mod validate;

/// Does what the command line asks for.
pub(crate) fn run(args: Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let Args { global, command } = args;
    match command {
        Command::Run(args) => {
            let settings = Settings::load_for_run(&global, args)?;
            screen.set_color(settings.color);
            run::run(&settings, screen)
        }
        Command::Validate(args) => {
            let settings = Settings::load(&global)?;
            screen.set_color(settings.color);
            validate::run(&args, &settings, screen)
        }
        Command::Explain(args) => {
            let settings = Settings::load_with_config(&global, args.config.clone())?;
            screen.set_color(settings.color);
            explain::run(&args, &settings, screen)
        }
        Command::Demo(args) => {
            let settings = Settings::load_for_demo(&global)?;
            screen.set_color(settings.color);
            demo::run(&args, &settings, screen)
        }
        Command::Schema => schema::run(screen, Settings::load(&global)?.output),
        Command::Complete(args) => complete::run(&args, screen),
        Command::Man(args) => man::run(&args, screen),
    }
}
