//! Closing a connection whose client may still be sending: without reading that, the kernel would
//! answer it with a reset, and the client would never see what we had to say.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::buffer::Buffer;
use crate::stream::Stream;
use crate::worker::Worker;

/// How long and how much is read before the connection is closed all the same.
const TIME_MAX: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 1024 * 1024;

/// Says that we are done, and reads what still comes for a while.
pub(crate) async fn close<S: Stream>(stream: &mut S, buffer: &mut Buffer, worker: &Worker) {
    let started = Instant::now();
    buffer.consume(buffer.len());
    worker.buffers.lend(buffer);
    let drain = poll_fn(|cx| {
        if Pin::new(&mut *stream).poll_shutdown(cx).is_pending() {
            return Poll::Pending;
        }
        let mut left = BYTES_MAX;
        loop {
            match buffer.poll_fill(cx, stream) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 && left > count => left -= count,
                Poll::Ready(_) => return Poll::Ready(()),
            }
            buffer.consume(buffer.len());
            if started.elapsed() >= TIME_MAX {
                return Poll::Ready(());
            }
        }
    });
    // Whether it ended or ran out of time, the connection is closed now.
    drop(timeout(TIME_MAX, drain).await);
    worker.buffers.reclaim(buffer);
}
