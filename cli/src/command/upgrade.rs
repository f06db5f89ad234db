//! `lbctl upgrade`: the program on disk takes over from the one that serves.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lb_client::Client;
use lb_model::api::{UpgradeAnswer, UpgradeState};
use serde::Serialize;
use tokio::time::sleep;

use crate::args::Output;
use crate::balancer::Balancer;
use crate::output;
use crate::report::{Exit, Explained, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// How often to look whether it is done.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long to look. The supervisor gives a program less than this to serve.
const PATIENCE: Duration = Duration::from_secs(90);

/// What serves now, and what did before.
#[derive(Debug, Serialize)]
struct Upgraded {
    version: String,
    process: u32,
    version_before: String,
    process_before: u32,
}

#[derive(Debug, thiserror::Error)]
enum UpgradeError {
    #[error("the upgrade failed, and process {process} serves on: {reason}")]
    Failed { process: u32, reason: String },
    #[error("process {0} still serves after {PATIENCE:?}")]
    TimedOut(u32),
}

impl Explained for UpgradeError {
    fn help(&self) -> Option<String> {
        let text = "no request failed; see the log of the balancer, as with \
                    `journalctl --unit lbctl`, mend the program or its document, and try again";
        Some(text.to_owned())
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

pub(super) fn run(settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let before = balancer.wait(balancer.client.upgrade())?;
    let progress = screen.progress && settings.output == Output::Table;
    let bar = if progress {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    bar.set_style(style.expect("the template is right"));
    bar.set_message("the new program starts; the old one serves until it is ready");
    bar.enable_steady_tick(Duration::from_millis(100));
    let now = balancer.wait(finished(&balancer.client, &before));
    bar.finish_and_clear();
    let now = now?;
    let upgraded = Upgraded {
        version: now.version,
        process: now.process,
        version_before: before.version,
        process_before: before.process,
    };
    let paint = screen.paint_stdout();
    output::print(screen, settings.output, &upgraded, |upgraded| {
        let Upgraded {
            version,
            process,
            version_before,
            process_before,
        } = upgraded;
        let who = paint.good(format!("lbctl {version}, process {process}, serves"));
        format!("{who}; {version_before}, process {process_before}, finishes what it has begun\n")
    })?;
    Ok(Exit::Done)
}

/// Waits until another process serves.
async fn finished(client: &Client, before: &UpgradeAnswer) -> Result<UpgradeAnswer, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        sleep(LOOK_INTERVAL).await;
        match client.upgrade_state().await {
            Ok(now) if now.process != before.process => return Ok(now),
            Ok(UpgradeAnswer {
                state: UpgradeState::Failed { reason },
                process,
                ..
            }) => return Err(UpgradeError::Failed { process, reason }.into()),
            Ok(_) if Instant::now() > until => {
                return Err(UpgradeError::TimedOut(before.process).into());
            }
            // The former program has let go of the API, and the new one does not have it yet.
            Err(error) if Instant::now() > until => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
    }
}
