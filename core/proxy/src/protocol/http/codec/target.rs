//! The target of a request (RFC 9112 section 3.2) and the host it names.

use super::BadMessage;
use super::field::Span;

/// The parts of a target, as ranges of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host and port, when the target is a whole URL.
    pub(crate) authority: Option<Span>,
    pub(crate) path: Span,
    /// With its question mark.
    pub(crate) query: Span,
}

/// Finds the parts of a target. Its bytes are not decoded: servers differ in how they do that, and
/// the raw bytes are what they get.
pub(crate) fn parse(method: &[u8], target: &[u8]) -> Result<Target, BadMessage> {
    if method == b"CONNECT" {
        return Err(BadMessage {
            status: 501,
            reason: "CONNECT is for forward proxies",
        });
    }
    if target.contains(&b'#') {
        return Err(BadMessage::bad_request("the target has a fragment"));
    }
    if target.starts_with(b"/") {
        return Ok(with_path(target, 0, None));
    }
    if target == b"*" {
        return if method == b"OPTIONS" {
            Ok(Target {
                authority: None,
                path: Span::new(0, 1),
                query: Span::default(),
            })
        } else {
            Err(BadMessage::bad_request("the target * is for OPTIONS only"))
        };
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return Err(BadMessage::bad_request(
            "the target is not a path or an http URL",
        ));
    };
    let start = scheme.len();
    let rest = target.get(start..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    Ok(with_path(
        target,
        start + end,
        Some(Span::new(start, start + end)),
    ))
}

fn with_path(target: &[u8], start: usize, authority: Option<Span>) -> Target {
    let rest = target.get(start..).unwrap_or_default();
    let path_end = start + memchr::memchr(b'?', rest).unwrap_or(rest.len());
    Target {
        authority,
        path: Span::new(start, path_end),
        query: Span::new(path_end, target.len()),
    }
}

/// The host in `host[:port]`, or a refusal when it is not well formed (RFC 3986 section 3.2).
/// User information is refused: it has no place in `Host`, and hides the host from a hasty reader.
pub(crate) fn host_name(authority: &[u8]) -> Result<&[u8], BadMessage> {
    let bad = BadMessage::bad_request("the host is not well formed");
    let host_end = if authority.starts_with(b"[") {
        1 + authority.iter().position(|b| *b == b']').ok_or(bad)?
    } else {
        authority
            .iter()
            .position(|b| *b == b':')
            .unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(host_end).ok_or(bad)?;
    let port_legal = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let host_legal = match host {
        [] => false,
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|a| a.parse::<std::net::Ipv6Addr>().is_ok())
        }
        // A sub-delimiter such as a comma is legal in a name, but splits lists on the way.
        name => name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(b)),
    };
    if host_legal && port_legal {
        Ok(host)
    } else {
        Err(bad)
    }
}
