//! A deadline that costs nothing to move.
//!
//! A connection changes what it waits for several times in each request, but its timer hardly ever
//! fires. So moving the deadline only stores a time; the timer itself is touched when it would fire
//! too late, or when it has fired too early.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer of one task.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer has been polled since it was last reset. The waker of a task never
    /// changes, so one poll is enough.
    armed: bool,
}

impl Deadline {
    /// A deadline `timeout` from `now`.
    pub(crate) fn new(now: Instant, timeout: Duration) -> Self {
        let at = now + timeout;
        Self {
            at,
            timer: Box::pin(sleep_until(at)),
            armed: false,
        }
    }

    /// Moves the deadline.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.timer.deadline() > self.at {
                self.timer.as_mut().reset(self.at);
                self.armed = false;
            }
            if self.armed && !self.timer.is_elapsed() {
                return Poll::Pending;
            }
            self.armed = true;
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
            self.armed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_passes_at_the_time_last_set_however_often_it_moved() {
        let start = Instant::now();
        let mut deadline = Deadline::new(start, Duration::from_mins(1));
        assert!(futures_now(&mut deadline).await.is_pending());
        deadline.set(start + Duration::from_mins(2));
        assert!(futures_now(&mut deadline).await.is_pending());
        poll_fn(|cx| deadline.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 120);
        deadline.set(start + Duration::from_mins(3));
        assert!(futures_now(&mut deadline).await.is_pending());
        deadline.set(start + Duration::from_secs(130));
        poll_fn(|cx| deadline.poll_passed(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 130);
    }

    async fn futures_now(deadline: &mut Deadline) -> Poll<()> {
        poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx))).await
    }
}
