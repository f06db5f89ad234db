//! What happens while machines are looked at and changed: bars on a terminal, a line for each step
//! elsewhere, JSON for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lb_model::value::Name;
use lb_provision::{Event, Events, Stop};
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::args::Output;
use crate::screen::Screen;

/// Shows events.
pub(super) struct Show<'s> {
    screen: &'s Screen,
    /// Events are the result: JSON on the standard output.
    as_json: bool,
    /// Bars that move.
    bars: Option<MultiProgress>,
    running: BTreeMap<Name, ProgressBar>,
    titles: BTreeMap<Name, String>,
    stop: Stop,
    was_aborted: bool,
}

impl<'s> Show<'s> {
    pub(super) fn new(screen: &'s Screen, output: Output, as_json: bool) -> Self {
        let moves = screen.progress && output == Output::Table && !as_json;
        Self {
            screen,
            as_json,
            bars: moves.then(MultiProgress::new),
            running: BTreeMap::new(),
            titles: BTreeMap::new(),
            stop: Stop::default(),
            was_aborted: false,
        }
    }

    /// What asks for an end after the steps that are under way.
    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Whether somebody wanted an end.
    pub(super) fn was_interrupted(&self) -> bool {
        self.was_aborted || self.stop.is_requested()
    }

    /// Whether somebody wanted an end at once.
    pub(super) const fn was_aborted(&self) -> bool {
        self.was_aborted
    }

    /// Does something, and shows what happens meanwhile. The first interrupt asks for an end after the
    /// steps that are under way, the next one is the end.
    pub(super) fn during<F, W>(&mut self, runtime: &Runtime, work: F)
    where
        F: FnOnce(Events) -> W,
        W: Future<Output = ()>,
    {
        let (events, heard) = Events::channel();
        let (screen, stop) = (self.screen, self.stop.clone());
        let ended = runtime.block_on(async {
            tokio::select! {
                // The events end when the work has ended, and everything was shown then.
                ((), ()) = async { tokio::join!(work(events), self.listen(heard)) } => true,
                () = two_interrupts(screen, &stop) => false,
            }
        });
        self.was_aborted |= !ended;
        for bar in std::mem::take(&mut self.running).into_values() {
            bar.finish_and_clear();
        }
    }

    async fn listen(&mut self, mut heard: UnboundedReceiver<Event>) {
        while let Some(event) = heard.recv().await {
            if self.as_json {
                let line = serde_json::to_string(&event).unwrap_or_default() + "\n";
                // Whoever does not read any more still gets what was asked for.
                drop(self.screen.stream(&line));
            } else {
                self.tell(event);
            }
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Looking { .. } => {}
            Event::Started {
                balancer, title, ..
            } => self.begin(balancer, title),
            Event::Progress {
                balancer,
                done,
                total,
                ..
            } => {
                if let Some(bar) = self.running.get(&balancer) {
                    bar.set_length(total);
                    bar.set_position(done);
                    bar.set_style(style(UPLOAD));
                }
            }
            Event::Finished { balancer, took, .. } => {
                let title = self.titles.remove(&balancer).unwrap_or_default();
                let seconds = took.as_secs_f64();
                self.end(
                    &balancer,
                    &format!("{balancer}: {title}: done in {seconds:.1} s"),
                );
            }
            Event::Failed {
                balancer,
                error,
                help,
                ..
            } => {
                let paint = self.screen.paint();
                let title = self.titles.remove(&balancer).unwrap_or_default();
                let error = error.replace('\n', "\n  ");
                let mut text = format!("{balancer}: {title}: {}: {error}", paint.error("failed"));
                if let Some(help) = help {
                    text = format!("{text}\n{} {help}", paint.strong("help:"));
                }
                self.end(&balancer, &text);
            }
            Event::Skipped { balancer, reason } => {
                self.line(&format!("{balancer}: left as it is, as {reason}"));
            }
        }
    }

    fn begin(&mut self, balancer: Name, title: String) {
        if let Some(bars) = &self.bars {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style(WORK));
            bar.set_message(format!("{balancer}: {title}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            self.running.insert(balancer.clone(), bar);
        }
        self.titles.insert(balancer, title);
    }

    fn end(&mut self, balancer: &Name, text: &str) {
        if let Some(bar) = self.running.remove(balancer) {
            bar.finish_and_clear();
        }
        self.line(text);
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // The bars below stay where they are.
            Some(bars) => bars.suspend(|| self.screen.note(&format!("{text}\n"))),
            None => self.screen.note(&format!("{text}\n")),
        }
    }
}

/// A step whose end nobody knows, and an upload.
const WORK: &str = "{spinner} {msg} {elapsed}";
const UPLOAD: &str =
    "{spinner} {msg} {bar:20} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is right")
}

/// Ends with the second interrupt.
async fn two_interrupts(screen: &Screen, stop: &Stop) {
    // Without a signal handler there is nothing to wait for.
    if ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    stop.request();
    screen.error("\nthe steps that are under way end first; Ctrl-C again ends at once\n");
    if ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
