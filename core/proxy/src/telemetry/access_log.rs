//! The access log: one line for each HTTP exchange and each TCP connection.
//!
//! A line is formatted by the worker that served it, into one allocation of its own, and handed to
//! a sink that never blocks. Whatever bytes a client sends, a line stays one line: this is where
//! log injection ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_model::config::AccessLogFormat;
use lb_model::value::Name;

use crate::stream::TlsFacts;

mod clock;
mod combined;
mod json;
mod text;

pub(crate) use clock::LogClock;

/// Where finished lines go.
pub trait AccessSink: Send + Sync {
    /// Takes one line, its line feed included. It must never block; `false` means that the line was
    /// dropped, which the proxy counts.
    fn write(&self, line: Vec<u8>) -> bool;
}

/// What is known about one HTTP exchange or TCP connection when it has ended.
#[derive(Clone, Debug)]
pub(crate) struct AccessRecord<'a> {
    /// When its first byte arrived, or the connection was accepted.
    pub(crate) time: SystemTime,
    /// The client, as rules and persistence saw it.
    pub(crate) client: SocketAddr,
    /// The virtual service that the client connected to.
    pub(crate) virtual_service: &'a Name,
    /// The rule that decided, when one did.
    pub(crate) rule: Option<&'a Name>,
    /// The pool that was chosen.
    pub(crate) pool: Option<&'a Name>,
    /// The server that answered, or the last one that was tried.
    pub(crate) server: Option<ServerRecord<'a>>,
    /// The request and its response; none for a TCP connection.
    pub(crate) http: Option<HttpRecord<'a>>,
    /// How the client is connected, when that is with TLS.
    pub(crate) tls: Option<TlsRecord<'a>>,
    /// Bytes received from the client.
    pub(crate) bytes_received: u64,
    /// Bytes sent to the client.
    pub(crate) bytes_sent: u64,
    /// How long all of it took.
    pub(crate) times: Times,
    /// How many further servers were tried.
    pub(crate) retries: u8,
    /// Why persistence chose the server, or did not, in one word.
    pub(crate) persistence: Option<&'static str>,
    /// Why it ended, in one word; `done` when nothing went wrong.
    pub(crate) end: &'static str,
}

/// A server as the access log names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerRecord<'a> {
    /// Its name in the pool.
    pub(crate) name: &'a Name,
    /// Its address.
    pub(crate) address: SocketAddr,
}

/// An HTTP request as it arrived, and the status of its response. Text is raw bytes: nothing has
/// been decoded, and a refused request may hold anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HttpRecord<'a> {
    /// The method.
    pub(crate) method: &'a [u8],
    /// The request target.
    pub(crate) target: &'a [u8],
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub(crate) version: &'a [u8],
    /// The host that the request names.
    pub(crate) host: Option<&'a [u8]>,
    /// The `Referer` field.
    pub(crate) referer: Option<&'a [u8]>,
    /// The `User-Agent` field.
    pub(crate) user_agent: Option<&'a [u8]>,
    /// The status that was sent to the client; none when the connection ended before.
    pub(crate) status: Option<u16>,
}

/// TLS with the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TlsRecord<'a> {
    /// `TLSv1.2` or `TLSv1.3`.
    /// Not known where TLS is passed through.
    pub(crate) version: Option<&'a str>,
    /// The cipher suite by its name in the registry; not known where TLS is passed through.
    pub(crate) cipher: Option<&'a str>,
    /// The host that the client asked for.
    pub(crate) server_name: Option<&'a str>,
}

impl<'a> TlsRecord<'a> {
    /// What the log says of a connection.
    pub(crate) fn of(facts: Option<&'a Arc<TlsFacts>>) -> Option<Self> {
        facts.map(|facts| Self {
            version: Some(facts.version),
            cipher: Some(facts.cipher),
            server_name: facts.server_name.as_deref(),
        })
    }

    /// What the log says of a connection that is passed through.
    pub(crate) const fn asked(server_name: Option<&'a str>) -> Self {
        Self {
            version: None,
            cipher: None,
            server_name,
        }
    }
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// From the first byte received to the last byte sent.
    pub(crate) duration: Duration,
    /// In the queue of the pool.
    pub(crate) queue: Option<Duration>,
    /// To open a connection to the server; none when an open one was used.
    pub(crate) connect: Option<Duration>,
    /// From the request being sent to the first byte of the response.
    pub(crate) response: Option<Duration>,
}

impl AccessRecord<'_> {
    /// The line for this record, its line feed included.
    pub(crate) fn line(&self, format: AccessLogFormat, clock: &mut LogClock) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.length_estimate());
        match format {
            AccessLogFormat::Combined => combined::write(&mut line, self, clock),
            AccessLogFormat::Json => json::write(&mut line, self, clock),
        }
        line.push(b'\n');
        line
    }

    /// How long the line may become when little of it needs escaping.
    fn length_estimate(&self) -> usize {
        let http = self.http.map_or(0, |http| {
            let optional = |text: Option<&[u8]>| text.map_or(0, <[u8]>::len);
            http.method.len()
                + http.target.len()
                + http.version.len()
                + optional(http.host)
                + optional(http.referer)
                + optional(http.user_agent)
        });
        // Keys, numbers and addresses take up to about 500 bytes, names up to 63 each.
        let host = self.tls.and_then(|tls| tls.server_name);
        http + host.map_or(0, str::len) + 640
    }
}

#[cfg(test)]
mod tests;
