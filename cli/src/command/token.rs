//! `lbctl token`: who may ask a balancer without being root on its machine.

use lb_model::api::{NewToken, Token, TokenRequest};

use crate::args::{TokenCommand, TokenCreateArgs};
use crate::balancer::Balancer;
use crate::output::{self, Table};
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

pub(super) fn run(
    command: &TokenCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let paint = screen.paint_stdout();
    match command {
        TokenCommand::Create(args) => create(args, &balancer, settings, screen)?,
        TokenCommand::List => {
            let tokens = balancer.wait(balancer.client.tokens())?;
            output::print(screen, settings.output, &tokens, |tokens| {
                table(tokens, paint)
            })?;
        }
        TokenCommand::Revoke(args) => {
            let revoked = balancer.wait(balancer.client.revoke_token(&args.name))?;
            output::print(screen, settings.output, &revoked, |token| {
                format!("token {} is good no more\n", token.name)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn create(
    args: &TokenCreateArgs,
    balancer: &Balancer,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), Failure> {
    let request = TokenRequest {
        name: args.name.clone(),
        role: args.role,
        lifetime: args.lifetime,
    };
    let made = balancer.wait(balancer.client.create_token(&request))?;
    let NewToken { token, .. } = &made;
    let until = token.expires_at.map_or_else(
        || "until it is revoked".to_owned(),
        |time| format!("until {time}"),
    );
    screen.note(&format!(
        "token {} may {} {until}; this is its secret, which nobody can show again:\n",
        token.name, token.role
    ));
    // The secret alone, so that a script can take it.
    output::print(screen, settings.output, &made, |made| {
        format!("{}\n", made.secret)
    })
}

fn table(tokens: &[Token], paint: Paint) -> String {
    let mut table = Table::new(["NAME", "ROLE", "MADE", "EXPIRES"]);
    for token in tokens {
        table.row([
            token.name.to_string(),
            token.role.to_string(),
            token.made_at.to_string(),
            token
                .expires_at
                .map_or_else(|| "never".to_owned(), |time| time.to_string()),
        ]);
    }
    table.text(paint)
}
