//! Heads as we write them: the fields that were sent, in their order and spelling, without those that
//! belong to one connection, and with our own framing.

use std::net::SocketAddr;

use lb_model::config::{ForwardedHeaders, TlsHeaders};

use super::alt_svc::AltSvc;
use super::codec::field::Field;
use super::codec::{FieldKind, Framing, RequestHead, ResponseHead, Version};
use crate::policy::forwarded::{self, Hop, write_number};
use crate::policy::header::Edits;
use crate::protocol::transfer::Encoding;
use crate::stream::TlsFacts;

/// What decides how the head of a request is written, besides the request.
pub(super) struct RequestContext<'a> {
    pub(super) hop: &'a Hop<'a>,
    pub(super) forwarded: &'a ForwardedHeaders,
    /// The fields about the client that are the same for the whole connection.
    pub(super) forwarded_constant: &'a [u8],
    pub(super) edits: &'a Edits<'a>,
    pub(super) server: SocketAddr,
    /// Whether the server may keep the connection open.
    pub(super) keep_alive: bool,
    /// How the client is connected, and what of it servers are told.
    pub(super) tls: Option<(&'a TlsFacts, &'a TlsHeaders)>,
}

/// Writes the head of a request for a server. It is always HTTP/1.1.
pub(super) fn request(context: &RequestContext<'_>, out: &mut Vec<u8>) {
    let (head, bytes) = (context.hop.head, context.hop.bytes);
    out.extend_from_slice(head.method(bytes));
    out.push(b' ');
    if head.target(bytes).starts_with(b"/") {
        out.extend_from_slice(head.target(bytes));
    } else if head.is_for_whole_server(bytes) {
        out.push(b'*');
    } else {
        out.extend_from_slice(head.path(bytes));
        out.extend_from_slice(head.query(bytes));
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut has_host = false;
    let mut run = Run::new(bytes);
    for field in head.fields.iter() {
        has_host |= field.kind == FieldKind::Host;
        if passes(context, field) {
            run.keep(field, out);
        } else {
            run.flush(out);
            rewrite_request_field(head, bytes, field, out);
        }
    }
    run.flush(out);
    if !has_host && !context.edits.takes_out(b"host") {
        // An HTTP/1.0 client need not send one; an HTTP/1.1 server insists on it.
        out.extend_from_slice(b"Host: ");
        match head.authority(bytes) {
            b"" => out.extend_from_slice(context.server.to_string().as_bytes()),
            authority => out.extend_from_slice(authority),
        }
        out.extend_from_slice(b"\r\n");
    }
    if head.upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if !context.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    forwarded::write(
        context.forwarded,
        context.hop,
        context.forwarded_constant,
        out,
    );
    if let Some((facts, headers)) = context.tls {
        write_tls(facts, headers, out);
    }
    context.edits.write(out);
    out.extend_from_slice(b"\r\n");
}

/// Writes what servers are told about the TLS connection of the client.
fn write_tls(facts: &TlsFacts, headers: &TlsHeaders, out: &mut Vec<u8>) {
    let TlsHeaders {
        x_arr_client_cert,
        x_ssl_client,
        x_ssl_session,
    } = headers;
    let mut field = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    let shown = facts.client_certificate.as_deref();
    if let Some(shown) = shown.filter(|_| *x_arr_client_cert) {
        field("X-ARR-ClientCert", &shown.base64);
    }
    if *x_ssl_client {
        let verified = if shown.is_some() { "SUCCESS" } else { "NONE" };
        field("X-SSL-Client-Verify", verified.as_bytes());
        if let Some(shown) = shown {
            field("X-SSL-Client-Subject", shown.subject.as_bytes());
            field("X-SSL-Client-Issuer", shown.issuer.as_bytes());
            field("X-SSL-Client-Serial", shown.serial.as_bytes());
            field("X-SSL-Client-SHA256", shown.sha256.as_bytes());
        }
    }
    if *x_ssl_session {
        field("X-SSL-Protocol", facts.version.as_bytes());
        field("X-SSL-Cipher", facts.cipher.as_bytes());
        if let Some(name) = &facts.server_name {
            field("X-SSL-Server-Name", name.as_bytes());
        }
    }
}

/// Whether a field of a request goes to the server as it is.
fn passes(context: &RequestContext<'_>, field: Field) -> bool {
    let (head, bytes) = (context.hop.head, context.hop.bytes);
    let by_kind = match field.kind {
        FieldKind::Connection
        | FieldKind::ContentLength
        | FieldKind::Http2Settings
        | FieldKind::KeepAlive
        | FieldKind::ProxyConnection
        | FieldKind::Te
        | FieldKind::TransferEncoding => return false,
        FieldKind::Upgrade => return head.upgrade,
        FieldKind::Expect => return head.expects_continue,
        FieldKind::Forwarded
        | FieldKind::XForwardedFor
        | FieldKind::XForwardedHost
        | FieldKind::XForwardedPort
        | FieldKind::XForwardedProto => {
            forwarded::keeps(context.forwarded, field.kind, context.hop.trusted)
        }
        FieldKind::Other => !speaks_of_tls(field.name(bytes)),
        FieldKind::Authorization
        | FieldKind::Cookie
        | FieldKind::Host
        | FieldKind::ProxyAuthenticate
        | FieldKind::ProxyAuthorization
        | FieldKind::Referer
        | FieldKind::SetCookie
        | FieldKind::Trailer
        | FieldKind::UserAgent
        | FieldKind::WwwAuthenticate => true,
    };
    let nominated = head.nominates
        && field.kind.may_be_nominated()
        && head.is_nominated(bytes, field.name(bytes));
    by_kind
        && !nominated
        && (context.edits.is_empty() || !context.edits.takes_out(field.name(bytes)))
}

/// Whether servers believe that only the balancer sends such a field: a client that sends it wants to
/// be taken for somebody else.
fn speaks_of_tls(name: &[u8]) -> bool {
    const NAMES: [&str; 9] = [
        "X-ARR-ClientCert",
        "X-SSL-Cipher",
        "X-SSL-Client-Issuer",
        "X-SSL-Client-SHA256",
        "X-SSL-Client-Serial",
        "X-SSL-Client-Subject",
        "X-SSL-Client-Verify",
        "X-SSL-Protocol",
        "X-SSL-Server-Name",
    ];
    let [b'x' | b'X', b'-' | b'_', b'a' | b'A' | b's' | b'S', ..] = name else {
        return false;
    };
    // IIS and CGI make `_` of `-`, so that both are one name to what runs there.
    let same = |(sent, known): (&u8, u8)| {
        sent.eq_ignore_ascii_case(&known) || *sent == b'_' && known == b'-'
    };
    NAMES
        .iter()
        .any(|known| known.len() == name.len() && name.iter().zip(known.bytes()).all(same))
}

/// Writes our own version of a field that frames the message or speaks about trailers.
fn rewrite_request_field(head: &RequestHead, bytes: &[u8], field: Field, out: &mut Vec<u8>) {
    match (field.kind, head.framing) {
        (FieldKind::ContentLength, Framing::Length(length)) => {
            number_field(out, field.name(bytes), length);
        }
        // A length of 0 frames nothing, but some servers demand it of a POST.
        (FieldKind::ContentLength, Framing::None) => number_field(out, field.name(bytes), 0),
        (FieldKind::TransferEncoding, Framing::Chunked) => {
            out.extend_from_slice(field.name(bytes));
            out.extend_from_slice(b": chunked\r\n");
        }
        (FieldKind::Te, _) => {
            let value = field.value(bytes);
            let mut codings = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
            if codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
                out.extend_from_slice(field.name(bytes));
                out.extend_from_slice(b": trailers\r\n");
            }
        }
        _ => {}
    }
}

/// What decides how the head of a response is written, besides the response.
pub(super) struct ResponseContext<'a> {
    pub(super) head: &'a ResponseHead,
    pub(super) bytes: &'a [u8],
    pub(super) edits: &'a Edits<'a>,
    pub(super) client_version: Version,
    /// The line that gives the client its persistence cookie.
    pub(super) cookie: Option<&'a [u8]>,
    pub(super) keep_alive: bool,
    pub(super) encoding: Encoding,
    /// The line that makes browsers keep to https; empty when there is none.
    pub(super) hsts: &'a [u8],
    pub(super) alt_svc: AltSvc,
    /// The host and port that the client asked for with https, when places there that the server names
    /// with http are given https.
    pub(super) secure_authority: Option<&'a [u8]>,
}

/// Writes the head of a response for a client. Its version is ours (RFC 9110 section 6.2).
pub(super) fn response(context: &ResponseContext<'_>, out: &mut Vec<u8>) {
    let (head, bytes) = (context.head, context.bytes);
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(head.status), out);
    out.push(b' ');
    match head.reason(bytes) {
        // HTTP/2 has none, and there are clients that do not understand a status without it.
        b"" => out.extend_from_slice(super::respond::reason(head.status).as_bytes()),
        reason => out.extend_from_slice(reason),
    }
    out.extend_from_slice(b"\r\n");
    let mut run = Run::new(bytes);
    for field in head.fields.iter() {
        if response_field_passes(context, field) {
            run.keep(field, out);
        } else {
            run.flush(out);
            if let (FieldKind::ContentLength, Framing::Length(length)) = (field.kind, head.framing)
            {
                number_field(out, field.name(bytes), length);
            } else if let Some((authority, rest)) = insecure_place(context, field) {
                out.extend_from_slice(field.name(bytes));
                out.extend_from_slice(b": https://");
                out.extend_from_slice(authority);
                out.extend_from_slice(rest);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    run.flush(out);
    if context.encoding == Encoding::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if let Some(cookie) = context.cookie {
        out.extend_from_slice(cookie);
    }
    context.edits.write(out);
    out.extend_from_slice(context.hsts);
    context.alt_svc.beside(head, bytes).write(out);
    if head.status == 101 {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if head.status >= 200 && !context.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if head.status >= 200 && context.client_version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn response_field_passes(context: &ResponseContext<'_>, field: Field) -> bool {
    let (head, bytes) = (context.head, context.bytes);
    match field.kind {
        FieldKind::Connection
        | FieldKind::KeepAlive
        | FieldKind::ProxyConnection
        | FieldKind::Te
        | FieldKind::TransferEncoding => return false,
        FieldKind::Upgrade => return head.status == 101 || head.status == 426,
        // It frames nothing in answers to HEAD and in 304, where it may be sent as information; a
        // 1xx or 204 must not have it (RFC 9110 section 8.6).
        FieldKind::ContentLength => {
            return head.framing == Framing::None && head.status >= 200 && head.status != 204;
        }
        FieldKind::Authorization
        | FieldKind::Cookie
        | FieldKind::Expect
        | FieldKind::Forwarded
        | FieldKind::Host
        | FieldKind::Http2Settings
        | FieldKind::Other
        | FieldKind::ProxyAuthenticate
        | FieldKind::ProxyAuthorization
        | FieldKind::Referer
        | FieldKind::SetCookie
        | FieldKind::Trailer
        | FieldKind::UserAgent
        | FieldKind::WwwAuthenticate
        | FieldKind::XForwardedFor
        | FieldKind::XForwardedHost
        | FieldKind::XForwardedPort
        | FieldKind::XForwardedProto => {}
    }
    let nominated = head.nominates
        && field.kind.may_be_nominated()
        && head.is_nominated(bytes, field.name(bytes));
    if field.kind == FieldKind::Other {
        let name = field.name(bytes);
        // Browsers believe the first one.
        let hsts = name.eq_ignore_ascii_case(b"strict-transport-security");
        if hsts && !context.hsts.is_empty() || insecure_place(context, field).is_some() {
            return false;
        }
    }
    !nominated && (context.edits.is_empty() || !context.edits.takes_out(field.name(bytes)))
}

/// What a field says about a place on the host of the client, when it names that with http: the host
/// and port with which the client asked, and what comes after those. Nothing when the rules take the
/// field out.
fn insecure_place<'a>(context: &ResponseContext<'a>, field: Field) -> Option<(&'a [u8], &'a [u8])> {
    let authority = context.secure_authority?;
    let (name, value) = (field.name(context.bytes), field.value(context.bytes));
    let names_place =
        name.eq_ignore_ascii_case(b"location") || name.eq_ignore_ascii_case(b"content-location");
    if !names_place || context.edits.takes_out(name) {
        return None;
    }
    let (scheme, rest) = value.split_at_checked(b"http://".len())?;
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return None;
    }
    let end = rest.iter().position(|b| b"/?#".contains(b));
    let (named, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let same = without_port(named).eq_ignore_ascii_case(without_port(authority));
    // Another port is another service, unless it is the one of plain HTTP or that of the client.
    let port = named.get(without_port(named).len()..)?;
    let own_port = authority.get(without_port(authority).len()..)?;
    (same && (port.is_empty() || port == b":80" || port == own_port)).then_some((authority, rest))
}

/// A host without its port.
fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|b| *b == b':');
    let bracket = authority.iter().rposition(|b| *b == b']');
    match colon {
        Some(colon) if bracket.is_none_or(|bracket| bracket < colon) => {
            authority.get(..colon).unwrap_or_default()
        }
        Some(_) | None => authority,
    }
}

/// Consecutive lines that are kept are copied in one piece.
struct Run<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Run<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            start: 0,
            end: 0,
        }
    }

    fn keep(&mut self, field: Field, out: &mut Vec<u8>) {
        if self.end != field.line_start() {
            self.flush(out);
            self.start = field.line_start();
        }
        self.end = field.line_end();
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(self.start..self.end).unwrap_or_default());
        self.start = self.end;
    }
}

fn number_field(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    write_number(number, out);
    out.extend_from_slice(b"\r\n");
}
