//! The command line. What it says here is the help text, the man page and the completions.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use lb_model::value::{Fingerprint, Method, Name, Period};
use serde::{Deserialize, Serialize};

use crate::fields::NounCommand;

mod access;
mod balancer;
mod certificate;
mod firstboot;
mod provision;
mod terraform;

pub(crate) use access::{
    TokenBootstrapArgs, TokenCommand, TokenCreateArgs, UserAddArgs, UserCommand, UserSetArgs,
};
pub(crate) use balancer::{
    ApplyArgs, BackupArgs, ConfirmArgs, DrainArgs, EnableArgs, HistoryArgs, LogsArgs, MannerArgs,
    PlanArgs, RestoreArgs, RollbackArgs, ServerName, StatusArgs,
};
pub(crate) use certificate::{
    CertificateCommand, CertificateImportArgs, CertificateRequestArgs, KeyChoice,
};
pub(crate) use firstboot::{FirstbootArgs, InstallArgs};
pub(crate) use provision::{
    CarryOutArgs, FleetArgs, ProvisionCommand, ProvisionDestroyArgs, ProvisionPlanArgs,
    ProvisionUpgradeArgs,
};
pub(crate) use terraform::{TerraformCommand, TerraformInstallArgs};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A load balancer and application delivery controller in one program.
#[derive(Debug, Parser)]
#[command(
    name = "lbctl",
    version,
    styles = STYLES,
    max_term_width = 100,
    after_help = "\
Examples:
  lbctl demo                              See sessions being balanced, in one minute
  lbctl validate lb.toml                  Check a document without running it
  lbctl run --config lb.toml --state-dir /var/lib/lbctl
  lbctl explain --config lb.toml http://shop.example/basket
  lbctl apply lb.toml --confirm 60s       See what would change, change it, and keep a way back
  lbctl drain web/iis1                    Let the clients of a server finish
  lbctl status --watch
  lbctl provision apply                   Put balancers on the machines that fleet.toml names

Exit codes: 0 done, 1 failed, 2 wrong call or invalid document (nothing was tried), 3 changes pending
(plan --detailed-exitcode).
Settings come from flags, then LBCTL_* variables, then ~/.config/lbctl/settings.toml, then
/etc/lbctl/settings.toml."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Output>,
    /// Print results and errors only, no notes and warnings.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log more; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Show no progress that moves.
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// When to use colours.
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<Color>,
    /// The balancer to talk to: `https://HOST:PORT`, or `unix:` and the path of its socket [default:
    /// the one of the state directory].
    #[arg(short, long, global = true, value_name = "ADDRESS")]
    pub(crate) balancer: Option<String>,
    /// The file with the token that says to a balancer who asks.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// The fingerprint that the certificate of the balancer must have, as `lbctl status` shows it on
    /// its machine.
    #[arg(long, global = true, value_name = "SHA256", conflicts_with = "ca_file")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The authorities that vouch for the certificate of the balancer, as PEM [default: those of the
    /// system].
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The file with a certificate that says to a balancer who asks, in the place of a token, as PEM.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The file with its private key, as PEM.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) client_key: Option<PathBuf>,
    /// The file with settings.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) settings: Option<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Validate(ValidateArgs),
    Explain(ExplainArgs),
    Plan(PlanArgs),
    Apply(ApplyArgs),
    Confirm(ConfirmArgs),
    History(HistoryArgs),
    Rollback(RollbackArgs),
    Status(StatusArgs),
    Drain(DrainArgs),
    Enable(EnableArgs),
    Disable(DrainArgs),
    Logs(LogsArgs),
    /// Print what the balancer counts, as Prometheus reads it.
    Metrics,
    /// Tell what happens in the balancer, from now on, one event on each line.
    Events,
    /// Make, list and end tokens, which say to a balancer who asks.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make, change and delete users: people whose tokens never do more than they may.
    #[command(subcommand)]
    User(UserCommand),
    Backup(BackupArgs),
    Restore(RestoreArgs),
    /// Let the program that is on disk now take over, without a failed request.
    ///
    /// The balancer starts it, and it serves on the same sockets as soon as it is ready. The former
    /// program accepts nothing more from then on and finishes what it has begun, for as long as
    /// `drain_timeout` allows. When the new program does not start, the former one serves on.
    Upgrade,
    /// Use the balancer from Terraform.
    #[command(subcommand)]
    Terraform(TerraformCommand),
    /// Put balancers on machines: plan, apply, upgrade without loss, go back, take away.
    ///
    /// A document of its own, fleet.toml, says which balancers there are, where, and what each serves.
    #[command(subcommand)]
    Provision(ProvisionCommand),
    Firstboot(FirstbootArgs),
    Install(InstallArgs),
    Demo(DemoArgs),
    /// Print the JSON Schema of the document.
    Schema,
    #[command(flatten)]
    Noun(NounCommand),
    Complete(CompleteArgs),
    Man(ManArgs),
}

/// Run the balancer until it is told to stop.
///
/// It is two processes: a supervisor that owns the listening sockets, and one that serves. That is
/// replaced at once when it crashes, and for an upgrade, with nobody refused. With `--config -`
/// it is one process, and neither is possible.
///
/// SIGTERM or SIGINT let open requests finish; a second one ends them. SIGHUP takes the document from
/// its file again, SIGUSR1 opens the access log again after rotation, SIGUSR2 upgrades as `lbctl
/// upgrade` does. Where the document has `telemetry.metrics_address`, `/metrics` is for Prometheus,
/// and `/health` answers 200, or 503 while open requests finish.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl run --config lb.toml --state-dir /var/lib/lbctl
  lbctl run --config lb.toml --state-dir ./state --workers 2 -o json   # the addresses as JSON")]
pub(crate) struct RunArgs {
    /// The document that says what is balanced [default: /etc/lbctl/lb.toml].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// The directory for what the balancer must remember; two balancers cannot share one
    /// [default: /var/lib/lbctl].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Threads that serve traffic [default: the cores that the process may use].
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// How long open requests may take to finish after a signal to stop [default: 30s].
    #[arg(long, value_name = "PERIOD")]
    pub(crate) drain_timeout: Option<Period>,
    /// The least severe messages to log: error, warn, info, debug or trace; a module can have its
    /// own, as in `info,lb_proxy=debug` [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// What the log on the standard error looks like.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// This process serves, and its standard input is the link to its supervisor.
    #[arg(long, hide = true, value_enum)]
    pub(crate) supervised: Option<Turn>,
}

/// Which serving process of its supervisor this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Turn {
    /// The balancer starts.
    First,
    /// It goes on, after an upgrade or a crash.
    Later,
}

/// Check documents without running them.
///
/// Every mistake is shown at once, with its place and what to do. Nothing is started.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl validate lb.toml
  lbctl validate examples/*/lb.toml
  generate-config | lbctl validate -
  lbctl validate lb.toml -o json | jq '.documents[].problems[].path'")]
pub(crate) struct ValidateArgs {
    /// The documents, TOML or (by the ending .json) JSON; `-` is the standard input.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

/// Say where a request would go, and why.
///
/// Shows the virtual service, each rule that was tried, the changes to the header, the pool, the
/// persistence and the server. Nothing is sent: servers count as up.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl explain --config lb.toml http://shop.example/basket
  lbctl explain --config lb.toml -X POST -H 'Cookie: LB=abc' --client 10.1.2.3 http://shop.example/api/
  lbctl explain --config lb.toml --virtual-service shop /img/logo.png -o json")]
pub(crate) struct ExplainArgs {
    /// The document [default: /etc/lbctl/lb.toml].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// The virtual service that the client connects to; when absent, the one whose port the URL
    /// names, or the only one there is.
    #[arg(long, value_name = "NAME")]
    pub(crate) virtual_service: Option<Name>,
    /// The method of the request.
    #[arg(
        short = 'X',
        long = "request",
        value_name = "METHOD",
        default_value = "GET"
    )]
    pub(crate) method: Method,
    /// A header field of the request, such as `Cookie: LB=abc`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub(crate) headers: Vec<String>,
    /// The address that the client connects from.
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    pub(crate) client: IpAddr,
    /// The URL, or a path alone.
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) url: String,
}

/// See it work: three small web servers with sessions, and a balancer in front of them.
///
/// Everything runs on this machine and on loopback addresses, and ends with Ctrl-C.
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// The port of the balancer [default: 8080, or any when that is taken].
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
}

/// Print a script that completes commands and flags in a shell.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl complete bash > /etc/bash_completion.d/lbctl
  lbctl complete zsh > \"${fpath[1]}/_lbctl\"
  lbctl complete fish > ~/.config/fish/completions/lbctl.fish")]
pub(crate) struct CompleteArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Print the manual as a man page.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl man | man -l -
  lbctl man --dir /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write one page for each command into this directory instead.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
