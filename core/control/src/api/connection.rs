//! Connections to the API: how many, how fast they must be, and who is at their other end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Observable;
use super::caller::Peer;
use super::serve::Service;
use super::stop::Stopping;
use crate::Engine;

/// The most connections at a time; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 128;

/// How long the head of a request may take, and how long a connection may wait for its next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the other end may take to read what is written, at each step.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers that are under way may take when the API stops.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(3);

/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long to wait when the system refuses another connection, mostly for lack of open files.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a Unix socket until the API stops, and every request that has begun then.
pub(super) async fn serve_unix<E: Engine + Observable>(
    listener: UnixListener,
    service: Arc<Service<E>>,
    stopping: Stopping,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut told = stopping.clone();
    tokio::select! {
        () = accept(listener, &service, &places, &stopping) => {}
        () = told.wait() => {}
    }
    // All places are free again when every connection has ended.
    let every = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    if timeout(STOP_WITHIN, places.acquire_many(every))
        .await
        .is_err()
    {
        tracing::warn!("some requests to the admin API are left without an answer");
    }
}

async fn accept<E: Engine + Observable>(
    listener: UnixListener,
    service: &Arc<Service<E>>,
    places: &Arc<Semaphore>,
    stopping: &Stopping,
) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = Arc::clone(service);
                let stopping = stopping.clone();
                tokio::spawn(async move {
                    let peer = peer(&stream);
                    converse(stream, peer, service, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the admin API could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn peer(stream: &UnixStream) -> Peer {
    let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
    Peer::local(user)
}

/// Answers the requests of one connection.
pub(super) async fn converse<E: Engine + Observable, S>(
    stream: S,
    peer: Peer,
    service: Arc<Service<E>>,
    mut stopping: Stopping,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = Paced {
        stream,
        stalled: None,
    };
    let answer = service_fn(move |request| {
        let (service, peer) = (Arc::clone(&service), peer.clone());
        async move { Ok::<_, Infallible>(service.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // Whoever asks sees that an answer is missing; there is nothing to be done here.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopping.wait() => connection.as_mut().graceful_shutdown(),
    }
    drop(timeout(STOP_WITHIN, connection).await);
}

/// A stream whose other end must go on reading: one that stalls for too long is cut, so that it
/// cannot keep a place for ever.
struct Paced<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// What a write gives that had this outcome.
    fn paced<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let deadline = || Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_TIMEOUT));
        let stalled = self.stalled.get_or_insert_with(deadline);
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.paced(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.paced(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_reading_an_answer_is_cut() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut paced = Paced {
            stream: ours,
            stalled: None,
        };
        let begun = Instant::now();
        let error = paced.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_TIMEOUT);
    }
}
