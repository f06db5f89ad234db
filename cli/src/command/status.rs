//! `lbctl status`: what virtual services and servers are doing, once or again and again.

use std::future::Future;
use std::io;
use std::time::Duration;

use lb_model::api::StatusAnswer;
use tokio::signal::unix::{SignalKind, signal};

use self::table::table;
use crate::args::{Output, StatusArgs};
use crate::balancer::Balancer;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Picture, Screen};
use crate::settings::Settings;

mod table;

/// Signals cannot be waited for.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen to signals")]
struct SignalError(#[source] io::Error);

impl Explained for SignalError {
    fn help(&self) -> Option<String> {
        None
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(
    args: &StatusArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    if args.watch {
        let interval = args.interval.duration();
        return balancer.wait(watch(&balancer, interval, settings.output, screen));
    }
    let status = balancer.wait(balancer.client.status())?;
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &status, |status| {
        table(status, None, paint)
    })?;
    Ok(Exit::Done)
}

/// Shows it again and again until a signal says stop. A terminal is then as it was before.
async fn watch(
    balancer: &Balancer,
    interval: Duration,
    format: Output,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut end = Box::pin(end()?);
    let mut before: Option<StatusAnswer> = None;
    let picture = (format == Output::Table)
        .then(|| Picture::begin(screen))
        .flatten();
    let paint = screen.paint_stdout();
    loop {
        let now = tokio::select! {
            status = balancer.client.status() => status?,
            () = &mut end => return Ok(Exit::Done),
        };
        let text = || table(&now, before.as_ref(), paint);
        let wanted = match (&picture, format) {
            (Some(picture), _) => picture.show(&text())?,
            (None, Output::Table) => screen.stream(&(text() + "\n"))?,
            (None, Output::Json | Output::Yaml) => output::print_line(screen, format, &now)?,
        };
        if !wanted {
            return Ok(Exit::Done);
        }
        before = Some(now);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = &mut end => return Ok(Exit::Done),
        }
    }
}

fn end() -> Result<impl Future<Output = ()>, SignalError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SignalError)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SignalError)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
