//! Where what a worker no longer needs is taken apart: to free ten thousand rules takes longer than a
//! worker may be held up.

use std::any::Any;
use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Takes what is to be freed elsewhere. What is in it is bounded by what there was.
#[derive(Clone)]
pub(crate) struct Disposal(UnboundedSender<Box<dyn Any + Send>>);

/// The other end: what comes out of it is dropped there.
pub(crate) type Disposed = UnboundedReceiver<Box<dyn Any + Send>>;

impl Disposal {
    pub(crate) fn new() -> (Self, Disposed) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    /// Has it freed by the other end, or here when there is none any more.
    pub(crate) fn dispose(&self, waste: impl Any + Send) {
        let Self(sender) = self;
        drop(sender.send(Box::new(waste)));
    }
}

impl fmt::Debug for Disposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disposal")
    }
}
