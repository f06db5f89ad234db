//! What carries requests to servers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::http2::Channel;
use crate::stream::{Stream, TlsFacts};
use crate::tls::ServerTlsStream;

/// A connection to a server.
#[derive(Debug)]
pub(crate) enum ServerSocket {
    /// In the open.
    Plain(TcpStream),
    /// It speaks TLS.
    Tls(ServerTlsStream),
}

/// What carries requests to a server.
#[derive(Debug)]
pub(crate) enum ServerStream {
    /// A connection.
    Socket(ServerSocket),
    /// One stream of a connection that speaks HTTP/2, for one request.
    Http2(Channel),
}

/// Passes what a stream is asked on to the one that it is.
macro_rules! passes_on {
    ($name:ident: $($variant:ident),+) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                out: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(stream) => Pin::new(stream).poll_read(cx, out),)+
                }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(stream) => Pin::new(stream).poll_write(cx, bytes),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(stream) => Pin::new(stream).poll_flush(cx),)+
                }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    $(Self::$variant(stream) => Pin::new(stream).poll_shutdown(cx),)+
                }
            }
        }

        impl Stream for $name {
            fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self {
                    $(Self::$variant(stream) => stream.poll_readable(cx),)+
                }
            }

            fn has_unread(&self) -> bool {
                match self {
                    $(Self::$variant(stream) => stream.has_unread(),)+
                }
            }

            fn reset_when_dropped(&self) {
                match self {
                    $(Self::$variant(stream) => stream.reset_when_dropped(),)+
                }
            }

            fn is_midway(&self) -> bool {
                match self {
                    $(Self::$variant(stream) => stream.is_midway(),)+
                }
            }

            fn tls(&self) -> Option<&Arc<TlsFacts>> {
                match self {
                    $(Self::$variant(stream) => stream.tls(),)+
                }
            }

            fn end_message(&mut self, trailer: &[u8]) -> io::Result<()> {
                match self {
                    $(Self::$variant(stream) => stream.end_message(trailer),)+
                }
            }
        }
    };
}

passes_on!(ServerSocket: Plain, Tls);
passes_on!(ServerStream: Socket, Http2);
