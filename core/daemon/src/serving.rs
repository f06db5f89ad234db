//! What a process that serves does when it is told to: by signals, or by its supervisor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lb_model::api::UpgradeState;
use tokio::task::JoinHandle;

use crate::control::{Control, Opened};
use crate::daemon::{Reread, StartError};
use crate::hand_over;
use crate::orders::{Order, Orders};
use crate::running::Running;
use crate::sockets::Sockets;

/// How long to wait before the state is tried again, when it could not be taken back.
const RESUME_PAUSE: Duration = Duration::from_secs(1);

/// What serves, and what changes it.
pub(crate) struct Serving {
    pub(crate) running: Arc<Running>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) state_dir: PathBuf,
    /// Nothing while another process has the state.
    pub(crate) control: Option<Control>,
    pub(crate) reread: Option<Arc<Reread>>,
    /// The document is being read again.
    pub(crate) reloading: Option<JoinHandle<()>>,
}

impl Serving {
    /// Obeys until it is to drain; `false` when it is to end at once.
    pub(crate) async fn until_told_to_drain(&mut self, orders: &mut Orders) -> bool {
        let mut resume = None;
        loop {
            let order = tokio::select! {
                order = orders.next() => order,
                () = pause(resume) => {
                    resume = self.resume();
                    continue;
                }
            };
            match order {
                Order::Drain => return true,
                Order::Orphaned => {
                    tracing::error!("the supervisor is gone; open requests finish");
                    self.hand_over().await;
                    return true;
                }
                Order::End => return false,
                Order::HandOver => {
                    resume = None;
                    if self.hand_over().await
                        && let Some(link) = self.sockets.link()
                    {
                        hand_over::leave(&self.state_dir, &self.running.memory());
                        link.handed_over();
                    }
                }
                Order::Resume(reason) => {
                    self.running.set_upgrade(UpgradeState::Failed { reason });
                    resume = self.resume();
                }
                Order::ReopenLog | Order::Reload => self.obey(&order),
            }
        }
    }

    /// Obeys until open requests are not to be waited for any more.
    pub(crate) async fn until_told_to_end(&mut self, orders: &mut Orders) {
        loop {
            match orders.next().await {
                Order::Drain | Order::End => return,
                Order::Orphaned | Order::HandOver | Order::Resume(_) => {}
                order @ (Order::ReopenLog | Order::Reload) => self.obey(&order),
            }
        }
    }

    fn obey(&mut self, order: &Order) {
        if *order == Order::ReopenLog {
            self.running.reopen_log();
            return;
        }
        match (&self.control, self.reread.clone()) {
            (Some(control), Some(reread)) => self.reloading = Some(control.reload(reread)),
            (None, _) => tracing::warn!("the document is not read again during an upgrade"),
            (_, None) => {
                tracing::warn!("there is no file that the document could be read from again");
            }
        }
    }

    /// Lets go of the state, once what is being changed is done; `false` when that does not end.
    async fn hand_over(&mut self) -> bool {
        if let Some(reloading) = self.reloading.take()
            && let Err(error) = reloading.await
        {
            tracing::error!(%error, "reading the document again failed");
        }
        let Some(control) = self.control.take() else {
            return true;
        };
        // It waits for changes, and metrics go on.
        let closed = tokio::task::spawn_blocking(|| control.close()).await;
        let closed = closed.map_err(|error| error.to_string());
        match closed.and_then(|closed| closed.map_err(|busy| busy.to_string())) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(error, "the state cannot be handed over");
                false
            }
        }
    }

    /// Takes the state back; when to try again if that fails.
    fn resume(&mut self) -> Option<Duration> {
        if self.control.is_some() {
            return None;
        }
        match self.take_back() {
            Ok(control) => {
                self.control = Some(control);
                None
            }
            Err(error) => {
                let help = error.help();
                tracing::error!(%error, help, "serving goes on; changes are not possible yet");
                Some(RESUME_PAUSE)
            }
        }
    }

    fn take_back(&self) -> Result<Control, StartError> {
        let mut opened = Opened::open(self.state_dir.clone(), true)?;
        hand_over::forget(&self.state_dir);
        // Whoever had it meanwhile may have made a change.
        self.running.catch_up(&opened.current().config)?;
        opened.run(&self.running, &self.sockets)
    }
}

async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
