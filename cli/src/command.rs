//! The commands: each reads what it needs, does its work and prints the result.

use crate::args::{Args, Command, GlobalArgs};
use crate::report::{Exit, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

mod backup;
mod certificate;
mod change;
mod complete;
mod demo;
mod drain;
mod explain;
mod firstboot;
mod history;
mod live;
mod logs;
mod man;
mod noun;
mod provision;
mod run;
mod schema;
mod status;
mod terraform;
mod token;
mod upgrade;
mod user;
mod validate;

/// Does what the command line asks for.
pub(crate) fn run(args: Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let Args { global, command } = args;
    match command {
        Command::Run(args) => {
            let turn = args.supervised;
            let settings = Settings::load_for_run(&global, args)?;
            screen.set_color(settings.color);
            run::run(&settings, turn, screen)
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
        Command::Plan(args) => change::plan(&args, &talk(&global, screen)?, screen),
        Command::Apply(args) => change::apply(&args, &talk(&global, screen)?, screen),
        Command::Rollback(args) => change::rollback(&args, &talk(&global, screen)?, screen),
        Command::Confirm(args) => history::confirm(&args, &talk(&global, screen)?, screen),
        Command::History(args) => history::history(&args, &talk(&global, screen)?, screen),
        Command::Status(args) => status::run(&args, &talk(&global, screen)?, screen),
        Command::Drain(args) => drain::drain(&args, &talk(&global, screen)?, screen),
        Command::Disable(args) => drain::disable(&args, &talk(&global, screen)?, screen),
        Command::Enable(args) => drain::enable(&args, &talk(&global, screen)?, screen),
        Command::Logs(args) => logs::run(&args, &talk(&global, screen)?, screen),
        Command::Metrics => live::metrics(&talk(&global, screen)?, screen),
        Command::Events => live::events(&talk(&global, screen)?, screen),
        Command::Token(command) => token::run(&command, &talk(&global, screen)?, screen),
        Command::Backup(args) => backup::backup(&args, &talk(&global, screen)?, screen),
        Command::Restore(args) => backup::restore(&args, &talk(&global, screen)?, screen),
        Command::User(command) => user::run(&command, &talk(&global, screen)?, screen),
        Command::Upgrade => upgrade::run(&talk(&global, screen)?, screen),
        Command::Terraform(command) => {
            let settings = Settings::load(&global)?;
            screen.set_color(settings.color);
            terraform::run(&command, &settings, screen)
        }
        Command::Provision(command) => provision::run(&command, &talk(&global, screen)?, screen),
        Command::Firstboot(args) => firstboot::run(&args, &talk(&global, screen)?, screen),
        Command::Install(args) => firstboot::install(&args, screen),
        Command::Demo(args) => {
            let settings = Settings::load_for_demo(&global)?;
            screen.set_color(settings.color);
            demo::run(&args, &settings, screen)
        }
        Command::Noun(command) => noun::run(&command, &talk(&global, screen)?, screen),
        Command::Schema => schema::run(screen, Settings::load(&global)?.output),
        Command::Complete(args) => complete::run(&args, screen),
        Command::Man(args) => man::run(&args, screen),
    }
}

/// The settings of a command that talks to a balancer.
fn talk(global: &GlobalArgs, screen: &mut Screen) -> Result<Settings, Failure> {
    let settings = Settings::load(global)?;
    screen.set_color(settings.color);
    Ok(settings)
}
