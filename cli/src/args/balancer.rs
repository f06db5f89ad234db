//! The arguments of the commands that talk to a running balancer.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args as ClapArgs, ValueHint};
use lb_model::value::{Name, Period};

/// Show what a document would change in the running balancer, and with which effect.
///
/// Each change says whether it is live, lets connections finish, binds a socket anew or needs a
/// restart, and how many connections it touches. Nothing is changed.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl plan lb.toml
  lbctl plan lb.toml --detailed-exitcode   # 3 when something would change
  lbctl plan lb.toml -o json | jq '.plan.changes[].path'")]
pub(crate) struct PlanArgs {
    /// The document; `-` is the standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Exit with 3 when something would change.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

/// Make the running balancer be what a document says.
///
/// Shows the plan and asks first. All of it is done or nothing, and it becomes a numbered revision
/// that `lbctl rollback` can go back to. A plan that went stale meanwhile is refused.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl apply lb.toml
  lbctl apply lb.toml --yes --comment 'iis3 joins the farm'
  lbctl apply lb.toml --confirm 60s   # taken back unless `lbctl confirm` follows in time")]
pub(crate) struct ApplyArgs {
    /// The document; `-` is the standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) manner: MannerArgs,
}

/// How a change is made.
#[derive(Debug, ClapArgs)]
pub(crate) struct MannerArgs {
    /// Take the change back unless `lbctl confirm` follows within this time.
    #[arg(long, value_name = "PERIOD")]
    pub(crate) confirm: Option<Period>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Keep a change that would be taken back otherwise.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfirmArgs {
    /// The number of its revision [default: the one in force].
    #[arg(value_name = "NUMBER")]
    pub(crate) number: Option<u64>,
}

/// Show who changed what, when and why.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl history
  lbctl history --limit 5 -o json")]
pub(crate) struct HistoryArgs {
    /// The most revisions to show, the newest first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
}

/// Go back to what an earlier revision was.
///
/// Shows the plan and asks first. Going back is a change like any other: it becomes a new revision.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl rollback 7
  lbctl rollback 7 --yes --confirm 60s")]
pub(crate) struct RollbackArgs {
    /// The number of that revision; `lbctl history` lists them.
    #[arg(value_name = "NUMBER")]
    pub(crate) number: u64,
    #[command(flatten)]
    pub(crate) manner: MannerArgs,
}

/// Keep what the balancer remembers in one file.
///
/// It holds the document in force, the newest of the history and of the audit, users, and tokens, of
/// which only digests are known. Only its owner can read it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl backup lb1.backup
  tail -n +3 lb1.backup | jq -c .   # what is in it")]
pub(crate) struct BackupArgs {
    /// The file; one that is there is replaced.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// Make the running balancer be what a backup says.
///
/// Shows the plan and asks first, and becomes a revision of its own, live. History and audit of the
/// balancer stay as they are. A file that is damaged, newer or something else changes nothing.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl restore lb1.backup
  lbctl restore lb1.backup --access --yes   # on a new machine, with users and tokens")]
pub(crate) struct RestoreArgs {
    /// The file that `lbctl backup` has written.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Make users and tokens be those of the backup, too: those made since end, and those revoked
    /// since are good again.
    #[arg(long)]
    pub(crate) access: bool,
    #[command(flatten)]
    pub(crate) manner: MannerArgs,
}

/// Show what virtual services and servers are doing.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl status
  lbctl status --watch       # with requests and errors per second and latency, until Ctrl-C
  lbctl status -o json | jq '.status.pools.web.servers'")]
pub(crate) struct StatusArgs {
    /// Show it again and again, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How often to look.
    #[arg(long, value_name = "PERIOD", default_value = "1s")]
    pub(crate) interval: Period,
}

/// Give a server no new clients, and wait until what is in progress has finished.
///
/// Drained, it keeps the clients that it has; disabled, it gets no traffic at all. Ctrl-C ends the
/// waiting, not the change: `lbctl enable` takes it back.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl drain web/iis1
  lbctl drain web/iis1 --timeout 5m --comment 'Windows updates'
  lbctl disable web/iis1 --no-wait")]
pub(crate) struct DrainArgs {
    /// The server.
    #[arg(value_name = "POOL/SERVER")]
    pub(crate) server: ServerName,
    /// How long to wait for what is in progress; the server stays as it is then.
    #[arg(long, value_name = "PERIOD", default_value = "10m")]
    pub(crate) timeout: Period,
    /// Do not wait for what is in progress.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// Give a server traffic again.
#[derive(Debug, ClapArgs)]
pub(crate) struct EnableArgs {
    /// The server.
    #[arg(value_name = "POOL/SERVER")]
    pub(crate) server: ServerName,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
}

/// A server, as it is written on the command line: `web/iis1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName {
    pub(crate) pool: Name,
    pub(crate) server: Name,
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not POOL/SERVER, such as web/iis1");
        let (pool, server) = text.split_once('/').ok_or_else(wrong)?;
        let name = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self {
            pool: name(pool)?,
            server: name(server)?,
        })
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.server)
    }
}

/// Show the end of the access log.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  lbctl logs
  lbctl logs -f | grep '\"status\":5'")]
pub(crate) struct LogsArgs {
    /// How many lines to begin with.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) lines: usize,
    /// Go on with what is added, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
}
