//! Connections to a balancer.

use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::address::Address;
use crate::error::ClientError;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that carries one request after the other.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// Opens a connection. Nothing is sent yet.
pub(crate) async fn open(address: &Address) -> Result<Connection, ClientError> {
    let failed = |source| ClientError::Connect {
        address: address.clone(),
        source,
    };
    let opened = timeout(CONNECT_TIMEOUT, async {
        match address {
            Address::Unix(path) => begin(UnixStream::connect(path).await?).await,
        }
    });
    match opened.await {
        Ok(opened) => opened.map_err(failed),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

async fn begin<S>(stream: S) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told by the sender.
        drop(connection.await);
    });
    Ok(sender)
}
