//! gRPC as a server over HTTP/2: one message in, one message or a stream of them out. That is all
//! that plugins need, so it is here and not a framework.
//!
//! Source: the specification "gRPC over HTTP2".

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// The largest message that is taken. Terraform itself takes no larger ones from a provider.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// How many messages of a stream wait to be sent.
const STREAM_LENGTH: usize = 16;

/// What answers calls.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call: the path names the service and the method.
    fn call(
        self: Arc<Self>,
        path: String,
        message: Bytes,
    ) -> impl Future<Output = Result<Answer, Status>> + Send;
}

/// What a call is answered with.
pub(crate) enum Answer {
    One(Vec<u8>),
    Many(mpsc::Receiver<Vec<u8>>),
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    code: u8,
    message: String,
}

impl Status {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(8, message)
    }

    pub(crate) fn unimplemented(path: &str) -> Self {
        Self::new(12, format!("this provider has no {path}"))
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(self.code)));
        let printed = self
            .message
            .replace(|c: char| !(' '..='~').contains(&c) || c == '%', "?");
        if let (false, Ok(message)) = (printed.is_empty(), HeaderValue::from_str(&printed)) {
            trailers.insert("grpc-message", message);
        }
        trailers
    }
}

/// Answers the calls of one connection until it ends.
pub(crate) async fn serve<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Arc<S>,
) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(respond(request, service).await) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_frame_size(1 << 20)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

async fn respond<S: Service>(
    request: Request<Incoming>,
    service: Arc<S>,
) -> Response<Channel<Bytes, Infallible>> {
    let (mut sender, body) = Channel::new(STREAM_LENGTH);
    let path = request.uri().path().to_owned();
    let answered = match message(request.into_body()).await {
        Ok(message) => service.call(path, message).await,
        Err(status) => Err(status),
    };
    // In a task of its own, as nothing is read from the channel before the response is returned.
    tokio::spawn(async move {
        let status = match answered {
            Ok(Answer::One(message)) => send(&mut sender, &message).await,
            Ok(Answer::Many(mut messages)) => {
                let mut sent = Some(());
                while let (Some(()), Some(message)) = (sent, messages.recv().await) {
                    sent = send(&mut sender, &message).await.ok();
                }
                Ok(())
            }
            Err(status) => Err(status),
        };
        let status = status.err().unwrap_or_else(|| Status::new(0, ""));
        // Whoever asked may be gone.
        let _sent = sender.send_trailers(status.trailers()).await;
    });
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

async fn send(sender: &mut Sender<Bytes, Infallible>, message: &[u8]) -> Result<(), Status> {
    let length = u32::try_from(message.len());
    let length = length.map_err(|_| Status::too_large("the answer is larger than 4 GiB"))?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    let sent = sender.send_data(framed.freeze()).await;
    sent.map_err(|_| Status::invalid("the caller is gone"))
}

/// The one message of a call.
async fn message(body: Incoming) -> Result<Bytes, Status> {
    let limited = Limited::new(body, PREFIX_BYTES + MESSAGE_BYTES_MAX);
    let bytes = match limited.collect().await {
        Ok(bytes) => bytes.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("a message may have {MESSAGE_BYTES_MAX} bytes at most");
            return Err(Status::too_large(message));
        }
        Err(error) => return Err(Status::invalid(format!("the message broke off: {error}"))),
    };
    unframed(bytes)
}

fn unframed(mut bytes: Bytes) -> Result<Bytes, Status> {
    if bytes.len() < PREFIX_BYTES {
        return Err(Status::invalid("a call has one message"));
    }
    if bytes.get_u8() != 0 {
        return Err(Status::new(12, "messages may not be compressed"));
    }
    let length = bytes.get_u32();
    if usize::try_from(length) != Ok(bytes.len()) {
        return Err(Status::invalid(
            "a call has one message, of the length that it says",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_one_whole_plain_message_is_refused() {
        let good = Bytes::from_static(b"\0\0\0\0\x02ab");
        assert_eq!(unframed(good).unwrap(), "ab");
        for wrong in [
            &b""[..],
            b"\0\0\0",
            b"\x01\0\0\0\x01a",
            b"\0\0\0\0\x02a",
            b"\0\0\0\0\x01ab",
        ] {
            assert!(unframed(Bytes::from_static(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_message_of_a_status_never_breaks_its_header_field() {
        let trailers = Status::invalid("kaputt\r\ngrpc-status: 0 100% ü").trailers();
        assert_eq!(trailers["grpc-message"], "kaputt??grpc-status: 0 100? ?");
        assert_eq!(trailers["grpc-status"], "3");
    }
}
