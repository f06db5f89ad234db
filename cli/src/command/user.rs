//! `lbctl user`: people whose tokens never do more than they may.

use lb_model::api::{Scope, User, UserChange, UserRequest};
use lb_model::value::Name;

use super::token::scope;
use crate::args::{UserAddArgs, UserCommand, UserSetArgs};
use crate::balancer::Balancer;
use crate::output::{self, Table};
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

pub(super) fn run(
    command: &UserCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let paint = screen.paint_stdout();
    let change = |name: &Name, change: UserChange| {
        let changed = balancer.wait(balancer.client.change_user(name, &change))?;
        output::print(screen, settings.output, &changed, told)
    };
    match command {
        UserCommand::Add(UserAddArgs { name, role, scope }) => {
            let request = UserRequest {
                name: name.clone(),
                role: *role,
                scope: scope.scope(),
            };
            let made = balancer.wait(balancer.client.create_user(&request))?;
            output::print(screen, settings.output, &made, told)?;
            let (name, role) = (&made.name, made.role);
            screen.note(&format!(
                "a token for them: lbctl token create NAME --user {name} --role {role}\n"
            ));
        }
        UserCommand::List => {
            let users = balancer.wait(balancer.client.users())?;
            output::print(screen, settings.output, &users, |users| table(users, paint))?;
        }
        UserCommand::Set(args) => change(&args.name, wanted(args))?,
        UserCommand::Disable(args) => change(&args.name, disabled(true))?,
        UserCommand::Enable(args) => change(&args.name, disabled(false))?,
        UserCommand::Delete(args) => {
            let gone = balancer.wait(balancer.client.delete_user(&args.name))?;
            output::print(screen, settings.output, &gone, |user| {
                format!("user {} is deleted, and all tokens of theirs\n", user.name)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn wanted(args: &UserSetArgs) -> UserChange {
    let scope = if args.everywhere {
        Some(Scope::default())
    } else {
        args.scope.is_given().then(|| args.scope.scope())
    };
    UserChange {
        role: args.role,
        scope,
        disabled: None,
    }
}

fn disabled(disabled: bool) -> UserChange {
    UserChange {
        disabled: Some(disabled),
        ..UserChange::default()
    }
}

fn told(user: &User) -> String {
    let User { name, role, .. } = user;
    if user.disabled {
        return format!("user {name} is disabled, and so are all tokens of theirs\n");
    }
    format!("user {name} may {role} in {}\n", scope(&user.scope))
}

fn table(users: &[User], paint: Paint) -> String {
    let mut table = Table::new(["NAME", "ROLE", "SCOPE", "STATE", "MADE"]);
    for user in users {
        let state = if user.disabled { "disabled" } else { "enabled" };
        table.row([
            user.name.to_string(),
            user.role.to_string(),
            scope(&user.scope),
            state.to_owned(),
            user.made_at.to_string(),
        ]);
    }
    table.text(paint)
}
