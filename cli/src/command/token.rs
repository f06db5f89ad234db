//! `lbctl token`: who may ask a balancer without being root on its machine.

use std::path::Path;

use lb_client::{Address, Enrolled, Trust};
use lb_model::api::{NewToken, Scope, Timestamp, Token, TokenRequest};

use crate::args::{TokenBootstrapArgs, TokenCommand, TokenCreateArgs};
use crate::balancer::{self, Balancer};
use crate::output::{self, Table};
use crate::report::{Exit, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::{Secret, Settings};

/// Where a new balancer puts what makes the first token.
const BOOTSTRAP_FILE: &str = "bootstrap-token";

pub(super) fn run(
    command: &TokenCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let paint = screen.paint_stdout();
    match command {
        TokenCommand::Bootstrap(args) => bootstrap(args, settings, screen)?,
        TokenCommand::Create(args) => create(args, &Balancer::of(settings)?, settings, screen)?,
        TokenCommand::List => {
            let balancer = Balancer::of(settings)?;
            let tokens = balancer.wait(balancer.client.tokens())?;
            output::print(screen, settings.output, &tokens, |tokens| {
                table(tokens, paint)
            })?;
        }
        TokenCommand::Revoke(args) => {
            let balancer = Balancer::of(settings)?;
            let revoked = balancer.wait(balancer.client.revoke_token(&args.name))?;
            output::print(screen, settings.output, &revoked, |token| {
                format!("token {} is good no more\n", token.name)
            })?;
        }
    }
    Ok(Exit::Done)
}

fn bootstrap(
    args: &TokenBootstrapArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), Failure> {
    let own = settings.state_dir.join(BOOTSTRAP_FILE);
    let from: &Path = args.from.as_deref().unwrap_or(&own);
    let secret = Secret::read(from)?;
    let address = Balancer::address(settings)?;
    let is_stranger =
        matches!(address, Address::Tls { .. }) && matches!(settings.trust(), Trust::System);
    let made = if is_stranger {
        let answer = lb_client::enrol(address, secret.text(), &args.name);
        let Enrolled { fingerprint, made } = balancer::wait(answer)??;
        screen.note(&format!(
            "the balancer has shown that it is the one; the fingerprint of its certificate, for \
             `--fingerprint`: {fingerprint}\n"
        ));
        made
    } else {
        let balancer = Balancer::with_token(settings, Some(&secret))?;
        balancer.wait(balancer.client.bootstrap(&args.name))?
    };
    tell(&made, settings, screen)
}

fn create(
    args: &TokenCreateArgs,
    balancer: &Balancer,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), Failure> {
    let request = TokenRequest {
        name: args.name.clone(),
        user: args.user.clone(),
        role: args.role,
        scope: args.scope.scope(),
        lifetime: args.lifetime,
    };
    let made = balancer.wait(balancer.client.create_token(&request))?;
    tell(&made, settings, screen)
}

fn tell(made: &NewToken, settings: &Settings, screen: &Screen) -> Result<(), Failure> {
    let NewToken { token, .. } = made;
    let until = token.expires_at.map_or_else(
        || "until it is revoked".to_owned(),
        |time| format!("until {time}"),
    );
    screen.note(&format!(
        "token {} may {} {until}; this is its secret, which nobody can show again:\n",
        token.name, token.role
    ));
    // The secret alone, so that a script can take it.
    output::print(screen, settings.output, made, |made| {
        format!("{}\n", made.secret)
    })
}

fn table(tokens: &[Token], paint: Paint) -> String {
    let mut table = Table::new(["NAME", "USER", "ROLE", "SCOPE", "EXPIRES", "LAST USED"]);
    let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |t| t.to_string());
    for token in tokens {
        let user = token.user.as_ref().map(ToString::to_string);
        table.row([
            token.name.to_string(),
            user.unwrap_or_else(|| "-".to_owned()),
            token.role.to_string(),
            scope(&token.scope),
            time(token.expires_at),
            time(token.last_used_at),
        ]);
    }
    table.text(paint)
}

/// A scope in few words.
pub(super) fn scope(scope: &Scope) -> String {
    let Scope {
        nouns,
        virtual_services,
        pools,
    } = scope;
    let mut parts = Vec::new();
    parts.extend(nouns.iter().flatten().cloned());
    let services = virtual_services.iter().flatten();
    parts.extend(services.map(|name| format!("virtual_services/{name}")));
    parts.extend(pools.iter().flatten().map(|name| format!("pools/{name}")));
    if scope.is_everything() {
        "everything".to_owned()
    } else if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(" ")
    }
}
