//! Connections to a balancer.

use std::io;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::error::ClientError;
use crate::tls::{self, Distrust};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that carries one request after the other.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// Opens a connection. Nothing is sent yet.
pub(crate) async fn open(
    address: &Address,
    connector: Option<&TlsConnector>,
) -> Result<Connection, ClientError> {
    let failed = |source| {
        let address = address.clone();
        match Distrust::of(&source) {
            Some(source) => ClientError::Distrusted { address, source },
            None => ClientError::Connect { address, source },
        }
    };
    let opened = timeout(CONNECT_TIMEOUT, async {
        match (address, connector) {
            (Address::Unix(path), _) => begin(UnixStream::connect(path).await?).await,
            (Address::Tls { host, port }, Some(connector)) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((bare, *port)).await?;
                stream.set_nodelay(true)?;
                begin(tls::begin(connector, host, stream).await?).await
            }
            (Address::Tls { .. }, None) => Err(io::ErrorKind::Unsupported.into()),
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
