//! The arguments of the commands about who may do what.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueHint};
use lb_model::api::{Role, Scope};
use lb_model::value::{Name, Period};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    Bootstrap(TokenBootstrapArgs),
    Create(TokenCreateArgs),
    /// List tokens; their secrets are kept nowhere.
    List,
    Revoke(TokenRevokeArgs),
}

/// Make the first token of a new balancer, which may do everything, and print its secret.
///
/// A balancer that starts without tokens puts `bootstrap-token` into its state directory. Whoever has
/// what is in that file can make the first token with it, over the network too, once and within 30
/// minutes. The balancer must show first that it has the same token, so its certificate need not be
/// known: its fingerprint is printed, to be pinned from then on.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  ssh lb1 sudo cat /var/lib/lbctl/bootstrap-token |
    lbctl -b https://lb1:9443 token bootstrap anna --from -
  sudo lbctl token bootstrap anna        # on the machine of the balancer")]
pub(crate) struct TokenBootstrapArgs {
    /// The name of the token.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// The file with what lets the first token be made; `-` is the standard input [default:
    /// bootstrap-token in the state directory].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
}

/// Make a token and print its secret, this once.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl token create prometheus --role view
  lbctl token create deploy --role configure --pool web --lifetime 7d
  lbctl token create anna-laptop --user anna --role operate > ~/.config/lbctl/token")]
pub(crate) struct TokenCreateArgs {
    /// Its name, which the history shows.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// What its bearer may do: view, operate, configure or administer.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    /// Whom it belongs to; it never does more than they may.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<Name>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// How long it is good [default: 90d].
    #[arg(long, value_name = "PERIOD")]
    pub(crate) lifetime: Option<Period>,
}

/// Where somebody may change something; without any of these, everywhere.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct ScopeArgs {
    /// Change only this pool and its servers, and what else is named; may be repeated.
    #[arg(long = "pool", value_name = "NAME")]
    pools: Vec<Name>,
    /// Change only this virtual service and its rules, and what else is named; may be repeated.
    #[arg(long = "virtual-service", value_name = "NAME")]
    virtual_services: Vec<Name>,
    /// Change only objects of this kind, such as `server`; may be repeated.
    #[arg(long = "noun", value_name = "NOUN")]
    nouns: Vec<String>,
}

impl ScopeArgs {
    /// Whether anything is named.
    pub(crate) fn is_given(&self) -> bool {
        let Self {
            pools,
            virtual_services,
            nouns,
        } = self;
        !(pools.is_empty() && virtual_services.is_empty() && nouns.is_empty())
    }

    /// What is named.
    pub(crate) fn scope(&self) -> Scope {
        fn named<T: Clone + Ord>(names: &[T]) -> Option<std::collections::BTreeSet<T>> {
            (!names.is_empty()).then(|| names.iter().cloned().collect())
        }
        Scope {
            nouns: named(&self.nouns),
            virtual_services: named(&self.virtual_services),
            pools: named(&self.pools),
        }
    }
}

/// End a token at once.
#[derive(Debug, ClapArgs)]
pub(crate) struct TokenRevokeArgs {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    Add(UserAddArgs),
    /// List users and what they may do.
    List,
    Set(UserSetArgs),
    Disable(UserDisableArgs),
    Enable(UserEnableArgs),
    Delete(UserDeleteArgs),
}

/// Add somebody who may have tokens.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl user add anna --role administer
  lbctl user add web-team --role operate --pool web")]
pub(crate) struct UserAddArgs {
    /// The name, which the history shows with that of the token.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// The most that their tokens may do: view, operate, configure or administer.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// Change what a user may do, and all of their tokens with it, at once.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl user set anna --role configure
  lbctl user set web-team --everywhere")]
pub(crate) struct UserSetArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    /// The most that their tokens may do: view, operate, configure or administer.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<Role>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Limit them to nothing any more.
    #[arg(long, conflicts_with_all = ["pools", "virtual_services", "nouns"])]
    pub(crate) everywhere: bool,
}

/// Let no token of a user in, until that is taken back.
#[derive(Debug, ClapArgs)]
pub(crate) struct UserDisableArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

/// Let the tokens of a user in again.
#[derive(Debug, ClapArgs)]
pub(crate) struct UserEnableArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}

/// Delete a user, and all of their tokens.
#[derive(Debug, ClapArgs)]
pub(crate) struct UserDeleteArgs {
    /// The name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
}
