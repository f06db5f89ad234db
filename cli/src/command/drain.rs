//! `lbctl drain`, `disable` and `enable`: a server's traffic, and waiting for what is in progress.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lb_client::Change;
use lb_model::api::{ApplyAnswer, Source, StatusAnswer};
use lb_model::config::ServerState;
use lb_model::value::Period;
use serde::Serialize;

use crate::args::{DrainArgs, EnableArgs, Output, ServerName};
use crate::balancer::Balancer;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// How often to look at what is left.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What has become of a server.
#[derive(Debug, Serialize)]
struct Outcome {
    server: String,
    state: ServerState,
    /// The revision that made it so.
    revision: u64,
    /// Requests and connections that were still in progress when waiting ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_progress: Option<u64>,
}

/// Why waiting ended before the server had finished.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("after {1}, {2} requests or connections of `{0}` are still in progress")]
    TimedOut(ServerName, Period, u64),
    #[error("stopped waiting, with {1} requests or connections of `{0}` in progress")]
    Interrupted(ServerName, u64),
    #[error("`{0}` was taken away while it was waited for")]
    Gone(ServerName),
    #[error("cannot listen to Ctrl-C")]
    Signal(#[source] std::io::Error),
}

impl Explained for DrainError {
    fn help(&self) -> Option<String> {
        match self {
            Self::TimedOut(server, ..) | Self::Interrupted(server, _) => Some(format!(
                "the server goes on finishing and gets no new clients; see `lbctl status`; \
                 `lbctl enable {server}` takes it back, `lbctl disable {server}` gives it no traffic \
                 at all"
            )),
            Self::Gone(_) | Self::Signal(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn drain(
    args: &DrainArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let said = "gets no new clients; those that have a session keep coming";
    retire(args, ServerState::Draining, said, settings, screen)
}

pub(super) fn disable(
    args: &DrainArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let said = "gets no more traffic";
    retire(args, ServerState::Disabled, said, settings, screen)
}

pub(super) fn enable(
    args: &EnableArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let state = ServerState::Enabled;
    let applied = change(&balancer, &args.server, state, args.comment.as_ref())?;
    let outcome = Outcome {
        server: args.server.to_string(),
        state,
        revision: applied.revision.number,
        in_progress: None,
    };
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &outcome, |outcome| {
        let server = paint.good(&outcome.server);
        format!("{server} gets traffic (revision {})\n", outcome.revision)
    })?;
    Ok(Exit::Done)
}

/// Changes the state of a server, and waits until nothing of it is in progress.
fn retire(
    args: &DrainArgs,
    state: ServerState,
    said: &str,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let applied = change(&balancer, &args.server, state, args.comment.as_ref())?;
    let number = applied.revision.number;
    screen.note(&format!("{} {said} (revision {number})\n", args.server));
    let mut outcome = Outcome {
        server: args.server.to_string(),
        state,
        revision: number,
        in_progress: None,
    };
    if !args.no_wait {
        let progress = screen.progress && settings.output == Output::Table;
        balancer.wait(finish(&balancer, args, progress))?;
        outcome.in_progress = Some(0);
    }
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &outcome, |outcome| {
        let server = paint.good(&outcome.server);
        if outcome.in_progress.is_some() {
            format!("{server} has finished: nothing is in progress\n")
        } else {
            format!("{server} {said}\n")
        }
    })?;
    Ok(Exit::Done)
}

fn change(
    balancer: &Balancer,
    server: &ServerName,
    state: ServerState,
    comment: Option<&String>,
) -> Result<ApplyAnswer, Failure> {
    let change = Change {
        comment: comment.cloned(),
        source: Source::Cli,
        ..Change::default()
    };
    let client = &balancer.client;
    let asked = client.set_server_state(&server.pool, &server.server, state, &change);
    Ok(balancer.wait(asked)?)
}

/// Waits until nothing is in progress, or for the end of patience.
async fn finish(balancer: &Balancer, args: &DrainArgs, progress: bool) -> Result<(), Failure> {
    let server = &args.server;
    let bar = if progress {
        bar()
    } else {
        ProgressBar::hidden()
    };
    let end = Instant::now() + args.timeout.duration();
    let mut most = 0;
    loop {
        let status = balancer.client.status().await?;
        let Some(left) = in_progress(&status, server) else {
            return Err(DrainError::Gone(server.clone()).into());
        };
        if left == 0 {
            bar.finish_and_clear();
            return Ok(());
        }
        most = most.max(left);
        bar.set_length(most);
        bar.set_position(most - left);
        bar.set_message(format!("{left} in progress on {server}"));
        let interrupted = tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => None,
            signal = tokio::signal::ctrl_c() => Some(signal),
        };
        if let Some(signal) = interrupted {
            bar.finish_and_clear();
            signal.map_err(DrainError::Signal)?;
            return Err(DrainError::Interrupted(server.clone(), left).into());
        }
        if Instant::now() >= end {
            bar.finish_and_clear();
            return Err(DrainError::TimedOut(server.clone(), args.timeout, left).into());
        }
    }
}

/// Requests and connections of a server that are in progress.
fn in_progress(status: &StatusAnswer, server: &ServerName) -> Option<u64> {
    let pool = status.status.pools.get(&server.pool)?;
    Some(pool.servers.get(&server.server)?.in_progress)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {msg} ({elapsed}; Ctrl-C ends the waiting)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
