//! What keeps certificates usable: they are ordered in time, and their authorities are asked whether they
//! are revoked. A thread of its own does that, so that no traffic and no change waits for anybody.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::acme::{self, Challenges};
use crate::certificate::Keeper;
use crate::ocsp::Stapler;
use crate::{Controller, Engine};

/// Renews certificates, and what is told of them, for as long as it is there.
#[derive(Debug)]
pub struct Renewer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Renewer {
    /// Begins to order what the document in force names, and to ask whether it is revoked.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start<E: Engine>(
        controller: &Arc<Controller<E>>,
        keeper: Arc<Keeper>,
        challenges: Arc<dyn Challenges>,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()?;
        let orders = acme::Work {
            controller: Arc::downgrade(controller),
            keeper: Arc::clone(&keeper),
            challenges,
        };
        let stapler = Stapler::new(Arc::downgrade(controller), keeper);
        let thread = std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || {
                crate::background::step_back();
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        ((), ()) = async { tokio::join!(orders.run(), stapler.run()) } => {}
                    }
                });
                // Looking up a host cannot be interrupted.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Renewer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has told why, if it has failed.
            drop(thread.join());
        }
    }
}
