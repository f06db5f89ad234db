//! What happens while steps are carried out, for whoever shows it.

use std::time::Duration;

use lb_model::value::Name;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A machine is looked at.
    Looking {
        /// The balancer.
        balancer: Name,
    },
    /// A step has begun.
    Started {
        /// The balancer.
        balancer: Name,
        /// The word for the step.
        step: &'static str,
        /// What it does, for people.
        title: String,
    },
    /// A part of a step is done.
    Progress {
        /// The balancer.
        balancer: Name,
        /// The word for the step.
        step: &'static str,
        /// Bytes that have been sent.
        done: u64,
        /// Bytes to send.
        total: u64,
    },
    /// A step is done.
    Finished {
        /// The balancer.
        balancer: Name,
        /// The word for the step.
        step: &'static str,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
    /// A step failed; those behind it are not tried.
    Failed {
        /// The balancer.
        balancer: Name,
        /// The word for the step.
        step: &'static str,
        /// What went wrong, with its causes.
        error: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A balancer is left as it is, because another one failed, or because of an interruption.
    Skipped {
        /// The balancer.
        balancer: Name,
        /// Why.
        reason: String,
    },
}

fn seconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Who hears of what happens. The queue has no limit: the number of steps has one, and progress is told
/// a hundred times for each upload at most.
#[derive(Clone, Debug)]
pub struct Events(Option<UnboundedSender<Event>>);

impl Events {
    /// Somebody who listens.
    pub fn channel() -> (Self, UnboundedReceiver<Event>) {
        let (sender, receiver) = unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Nobody listens.
    pub const fn nobody() -> Self {
        Self(None)
    }

    /// Tells it.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // Who has gone away needs to hear nothing.
            drop(sender.send(event));
        }
    }
}
