//! The end of the API: who serves is told, and finishes what has begun.

use tokio::sync::watch;

/// Tells everybody to stop when it is dropped.
pub(super) type Stop = watch::Sender<()>;

/// Waits for that.
#[derive(Clone, Debug)]
pub(super) struct Stopping(watch::Receiver<()>);

/// Both ends.
pub(super) fn stop() -> (Stop, Stopping) {
    let (stop, stopping) = watch::channel(());
    (stop, Stopping(stopping))
}

impl Stopping {
    /// Returns when the API stops.
    pub(super) async fn wait(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
