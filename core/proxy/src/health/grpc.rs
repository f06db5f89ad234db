//! A probe by the health protocol of gRPC (`grpc.health.v1.Health/Check`).

use lb_model::config::GrpcProbe;

use super::http::host_field;
use super::{Aim, ProbeFailure, http2};
use crate::tls::Speak;

/// What `status` of a `HealthCheckResponse` means.
const SERVING: u64 = 1;

pub(super) async fn probe(probe: &GrpcProbe, target: &Aim<'_>) -> Result<String, ProbeFailure> {
    let GrpcProbe { service, host } = probe;
    let named = host
        .as_ref()
        .map(|host| super::http::name_of(host.as_str()));
    let mut stream = target.connect(named, Speak::Http2).await?;
    let host = host_field(host.as_ref(), target.address, target.tls.is_some());
    let head = format!(
        "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: {host}\r\n\
         User-Agent: lbctl\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\r\n"
    );
    let body = message(service.as_deref().unwrap_or_default());
    let answer = http2::ask(&mut stream, head.as_bytes(), &body).await?;
    if answer.status != 200 {
        let status = answer.status;
        return Err(ProbeFailure::Status { status });
    }
    match answer.grpc_status.as_deref() {
        Some("0") => {}
        status => {
            return Err(ProbeFailure::Grpc {
                status: word(status.unwrap_or("none")),
                message: answer.grpc_message.unwrap_or_default(),
            });
        }
    }
    match serving_status(&answer.body) {
        Some(SERVING) => Ok("SERVING".to_owned()),
        Some(status) => Err(ProbeFailure::NotServing {
            state: match status {
                0 => "UNKNOWN",
                2 => "NOT_SERVING",
                3 => "SERVICE_UNKNOWN",
                _ => "a state that is not known",
            },
        }),
        None => Err(ProbeFailure::Malformed {
            what: "it is no HealthCheckResponse",
        }),
    }
}

/// A code of gRPC with its word.
fn word(status: &str) -> String {
    let word = match status {
        "1" => "CANCELLED",
        "2" => "UNKNOWN",
        "4" => "DEADLINE_EXCEEDED",
        "5" => "NOT_FOUND: the service is not known",
        "7" => "PERMISSION_DENIED",
        "12" => "UNIMPLEMENTED: the server has no grpc.health.v1.Health",
        "13" => "INTERNAL",
        "14" => "UNAVAILABLE",
        "16" => "UNAUTHENTICATED",
        other => return other.to_owned(),
    };
    format!("{status}, {word}")
}

/// A `HealthCheckRequest`, framed as gRPC frames messages.
fn message(service: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if !service.is_empty() {
        // Field 1, of bytes.
        payload.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            payload.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        payload.push(u8::try_from(length).unwrap_or(0));
        payload.extend_from_slice(service.as_bytes());
    }
    // Not compressed.
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    bytes.append(&mut payload);
    bytes
}

/// The status in a `HealthCheckResponse`; nothing when the bytes are none.
fn serving_status(body: &[u8]) -> Option<u64> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let [0, length @ ..] = head else {
        return None;
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let mut message = rest.get(..length)?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = varint(&mut message)?,
            // Fields that came later than this.
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            (_, _) => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_service_and_its_length() {
        assert_eq!(message(""), [0, 0, 0, 0, 0]);
        assert_eq!(message("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
    }

    #[test]
    fn the_status_is_found_among_other_fields_and_is_0_when_it_is_left_out() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(0));
        let others = [0, 0, 0, 0, 7, 0x12, 1, b'x', 0x18, 5, 8, 2];
        assert_eq!(serving_status(&others), Some(2));
        for broken in [
            &[][..],
            &[0, 0, 0, 0, 2, 8],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 1, 0xff],
        ] {
            assert_eq!(serving_status(broken), None, "{broken:?}");
        }
    }
}
