//! One line that shows how much each server has answered, while the demo runs.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::farm::Tally;
use crate::screen::Paint;

const REFRESH: Duration = Duration::from_millis(150);

/// How wide a full bar is, in characters.
const WIDTH: u64 = 12;

/// The line, until this is dropped.
#[derive(Debug)]
pub(super) struct Board {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    /// Shows the line on the standard error.
    pub(super) fn start(tallies: Vec<Arc<Tally>>, paint: Paint) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("board".to_owned())
            .spawn(move || {
                let line = Line::new(paint);
                line.show(&tallies);
                while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                    line.show(&tallies);
                }
                line.bar.finish_and_clear();
            });
        Self {
            stop: Some(stop),
            // Without a thread there is no board, and the demo works all the same.
            thread: thread.ok(),
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Line {
    bar: ProgressBar,
    paint: Paint,
}

impl Line {
    fn new(paint: Paint) -> Self {
        let style = ProgressStyle::with_template("{wide_msg}");
        let bar = ProgressBar::new_spinner();
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { bar, paint }
    }

    fn show(&self, tallies: &[Arc<Tally>]) {
        // The longest bar is that of the busiest server; a few requests do not fill it.
        let most = tallies.iter().map(|tally| tally.requests()).max();
        let most = most.unwrap_or_default().max(12);
        let servers: Vec<String> = tallies
            .iter()
            .map(|tally| {
                let requests = tally.requests();
                let filled = requests.saturating_mul(WIDTH) / most;
                let filled = usize::try_from(filled.min(WIDTH)).unwrap_or_default();
                let rest = usize::try_from(WIDTH).unwrap_or_default() - filled;
                let bar = self.paint.good("━".repeat(filled));
                let rest = self.paint.faint("─".repeat(rest));
                format!("{} {bar}{rest} {requests}", self.paint.strong(tally.name))
            })
            .collect();
        self.bar.set_message(format!("  {}", servers.join("   ")));
    }
}
