//! `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `Forwarded` (RFC 7239): what servers are told
//! about the client, and what is believed of what a client says about itself.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use lb_model::config::{ForwardedHeaders, ForwardedMode};

use crate::protocol::http::codec::{FieldKind, RequestHead};

/// One request, as far as these fields are concerned.
pub(crate) struct Hop<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) bytes: &'a [u8],
    /// Who connected to us: the client itself, or a proxy in front.
    pub(crate) peer: IpAddr,
    /// Whether the peer is in a trusted network.
    pub(crate) trusted: bool,
    /// The port that the peer connected to.
    pub(crate) port: u16,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// Whether header fields of this peer about the client are believed.
pub(crate) fn is_trusted(policy: &ForwardedHeaders, peer: IpAddr) -> bool {
    policy.trusted.iter().any(|network| network.contains(peer))
}

/// The client that a request comes from: the last address in `X-Forwarded-For` that is not itself a
/// trusted proxy, or the peer when it is not trusted or says nothing that can be read.
pub(crate) fn client(policy: &ForwardedHeaders, hop: &Hop<'_>) -> IpAddr {
    if !hop.trusted {
        return hop.peer;
    }
    let mut client = hop.peer;
    let fields: Vec<_> = hop.head.fields.of(FieldKind::XForwardedFor).collect();
    for field in fields.iter().rev() {
        for element in field.value(hop.bytes).rsplit(|b| *b == b',') {
            let Some(address) = parse_address(element.trim_ascii()) else {
                return client;
            };
            client = address;
            if !is_trusted(policy, address) {
                return client;
            }
        }
    }
    client
}

/// Whether a field that was sent reaches the server as it is.
pub(crate) fn keeps(policy: &ForwardedHeaders, kind: FieldKind, trusted: bool) -> bool {
    match mode(policy, kind) {
        None => true,
        Some(ForwardedMode::Off | ForwardedMode::Set) => trusted,
        // What is appended to is written anew, with ours behind it.
        Some(ForwardedMode::Append | ForwardedMode::Replace) => false,
    }
}

/// The fields that are the same for every request of a peer that is not trusted: whatever it sends
/// under these names is dropped, and ours depend on the connection alone.
pub(crate) fn constant(
    policy: &ForwardedHeaders,
    peer: IpAddr,
    port: u16,
    scheme: &str,
) -> Box<[u8]> {
    let mut lines = Vec::with_capacity(128);
    if policy.x_forwarded_for != ForwardedMode::Off {
        lines.extend_from_slice(b"X-Forwarded-For: ");
        write_address(peer, &mut lines);
        lines.extend_from_slice(b"\r\n");
    }
    if policy.x_forwarded_proto != ForwardedMode::Off {
        lines.extend_from_slice(b"X-Forwarded-Proto: ");
        lines.extend_from_slice(scheme.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    if policy.x_forwarded_port != ForwardedMode::Off {
        lines.extend_from_slice(b"X-Forwarded-Port: ");
        write_number(u64::from(port), &mut lines);
        lines.extend_from_slice(b"\r\n");
    }
    lines.into_boxed_slice()
}

/// Writes our fields behind those that were kept. `constant` is what the function of that name has
/// made for the connection.
pub(crate) fn write(policy: &ForwardedHeaders, hop: &Hop<'_>, constant: &[u8], out: &mut Vec<u8>) {
    let all = [
        (FieldKind::XForwardedHost, &b"X-Forwarded-Host: "[..]),
        (FieldKind::Forwarded, b"Forwarded: "),
        (FieldKind::XForwardedFor, b"X-Forwarded-For: "),
        (FieldKind::XForwardedProto, b"X-Forwarded-Proto: "),
        (FieldKind::XForwardedPort, b"X-Forwarded-Port: "),
    ];
    let mut rest = all.as_slice();
    if !hop.trusted {
        out.extend_from_slice(constant);
        rest = rest.get(..2).unwrap_or_default();
    }
    for &(kind, name) in rest {
        let sent = || hop.head.fields.of(kind).filter(|_| hop.trusted);
        let ours = match mode(policy, kind) {
            None | Some(ForwardedMode::Off) => false,
            Some(ForwardedMode::Append | ForwardedMode::Replace) => true,
            Some(ForwardedMode::Set) => sent().next().is_none(),
        };
        if !ours {
            continue;
        }
        let start = out.len();
        out.extend_from_slice(name);
        if mode(policy, kind) == Some(ForwardedMode::Append) {
            for field in sent() {
                out.extend_from_slice(field.value(hop.bytes));
                out.extend_from_slice(b", ");
            }
        }
        if write_value(hop, kind, out) {
            out.extend_from_slice(b"\r\n");
        } else {
            out.truncate(start);
        }
    }
}

/// Writes our value of a field; `false` when there is nothing to say.
fn write_value(hop: &Hop<'_>, kind: FieldKind, out: &mut Vec<u8>) -> bool {
    let authority = hop.head.authority(hop.bytes);
    if kind == FieldKind::XForwardedFor {
        write_address(hop.peer, out);
    } else if kind == FieldKind::XForwardedProto {
        out.extend_from_slice(hop.scheme.as_bytes());
    } else if kind == FieldKind::XForwardedPort {
        write_number(u64::from(hop.port), out);
    } else if kind == FieldKind::XForwardedHost {
        out.extend_from_slice(authority);
        return !authority.is_empty();
    } else {
        // An IPv6 address has brackets and so needs quotes (RFC 7239 section 6).
        match hop.peer {
            IpAddr::V4(_) => {
                out.extend_from_slice(b"for=");
                write_address(hop.peer, out);
            }
            IpAddr::V6(_) => {
                out.extend_from_slice(b"for=\"[");
                write_address(hop.peer, out);
                out.extend_from_slice(b"]\"");
            }
        }
        if !authority.is_empty() {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(authority);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(hop.scheme.as_bytes());
    }
    true
}

fn mode(policy: &ForwardedHeaders, kind: FieldKind) -> Option<ForwardedMode> {
    if kind == FieldKind::XForwardedFor {
        Some(policy.x_forwarded_for)
    } else if kind == FieldKind::XForwardedProto {
        Some(policy.x_forwarded_proto)
    } else if kind == FieldKind::XForwardedHost {
        Some(policy.x_forwarded_host)
    } else if kind == FieldKind::XForwardedPort {
        Some(policy.x_forwarded_port)
    } else if kind == FieldKind::Forwarded {
        Some(policy.forwarded)
    } else {
        None
    }
}

/// An address with or without a port: ARR and others write `1.2.3.4:5678`.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse().ok()
}

/// Writes an address without going through the formatter, which costs more than the rest of a head.
pub(crate) fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (position, octet) in v4.octets().into_iter().enumerate() {
                if position > 0 {
                    out.push(b'.');
                }
                write_number(u64::from(octet), out);
            }
        }
        // Writing into a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Writes a number in decimal.
pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::codec::HeadLimits;

    fn run(policy: &ForwardedHeaders, peer: &str, fields: &str) -> (String, IpAddr) {
        let text = format!("GET / HTTP/1.1\r\nHost: h:81\r\n{fields}\r\n");
        let mut head = RequestHead::default();
        let limits = HeadLimits {
            bytes_max: 9999,
            fields_max: 99,
            target_bytes_max: 999,
        };
        assert!(head.parse(text.as_bytes(), &limits).expect("legal"));
        let peer: IpAddr = peer.parse().expect("an address");
        let trusted = is_trusted(policy, peer);
        let hop = Hop {
            head: &head,
            bytes: text.as_bytes(),
            peer,
            trusted,
            port: 81,
            scheme: "http",
        };
        let mut out = Vec::new();
        for field in head.fields.iter() {
            if field.kind != FieldKind::Host && keeps(policy, field.kind, trusted) {
                out.extend_from_slice(field.name(text.as_bytes()));
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value(text.as_bytes()));
                out.extend_from_slice(b"\r\n");
            }
        }
        write(policy, &hop, &constant(policy, peer, 81, "http"), &mut out);
        (String::from_utf8(out).expect("text"), client(policy, &hop))
    }

    fn trusting() -> ForwardedHeaders {
        ForwardedHeaders {
            trusted: vec!["10.0.0.0/8".parse().expect("a network")],
            ..ForwardedHeaders::default()
        }
    }

    #[test]
    fn what_an_unknown_client_says_about_itself_is_replaced() {
        let spoofed = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: evil\r\nForwarded: for=x\r\n";
        let (fields, client) = run(&trusting(), "192.0.2.1", spoofed);
        assert_eq!(
            fields,
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n\
             X-Forwarded-Port: 81\r\nX-Forwarded-Host: h:81\r\n"
        );
        assert_eq!(client.to_string(), "192.0.2.1");
    }

    #[test]
    fn what_a_trusted_proxy_says_is_kept_and_appended_to() {
        let sent = "X-Forwarded-For: 7.7.7.7, 203.0.113.9:4711\r\nX-Forwarded-For: 10.0.0.3\r\n\
                    X-Forwarded-Proto: https\r\n";
        let (fields, client) = run(&trusting(), "10.0.0.2", sent);
        assert_eq!(
            fields,
            "X-Forwarded-Proto: https\r\nX-Forwarded-Host: h:81\r\n\
             X-Forwarded-For: 7.7.7.7, 203.0.113.9:4711, 10.0.0.3, 10.0.0.2\r\n\
             X-Forwarded-Port: 81\r\n"
        );
        assert_eq!(
            client.to_string(),
            "203.0.113.9",
            "the last one that is not a proxy of ours"
        );
    }

    #[test]
    fn the_standard_field_quotes_an_ipv6_client() {
        let policy = ForwardedHeaders {
            x_forwarded_for: ForwardedMode::Off,
            x_forwarded_proto: ForwardedMode::Off,
            x_forwarded_host: ForwardedMode::Off,
            x_forwarded_port: ForwardedMode::Off,
            forwarded: ForwardedMode::Replace,
            trusted: Vec::new(),
        };
        let (fields, _) = run(&policy, "2001:db8::1", "");
        assert_eq!(
            fields,
            "Forwarded: for=\"[2001:db8::1]\";host=\"h:81\";proto=http\r\n"
        );
    }
}
