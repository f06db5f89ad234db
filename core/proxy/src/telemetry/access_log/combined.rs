//! Lines in the Combined Log Format of Apache and NGINX, followed by virtual service, pool, server
//! and duration in seconds. What is not known is `-`.

use lb_model::value::Name;

use super::{AccessRecord, LogClock, text};

/// Writes the record, without a line feed.
pub(super) fn write(line: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &mut LogClock) {
    text::ip(line, record.client.ip());
    // The identity and the user of the format: the servers know the user, not the balancer.
    line.extend_from_slice(b" - - [");
    clock.write_common(line, record.time);
    line.extend_from_slice(b"] \"");
    let http = record.http.unwrap_or_default();
    if http.method.is_empty() && http.target.is_empty() {
        line.push(b'-');
    } else {
        escape(line, http.method);
        line.push(b' ');
        escape(line, http.target);
        line.push(b' ');
        escape(line, http.version);
    }
    line.extend_from_slice(b"\" ");
    match http.status {
        Some(status) => text::number(line, status.into()),
        None => line.push(b'-'),
    }
    line.push(b' ');
    text::number(line, record.bytes_sent);
    quoted(line, http.referer);
    quoted(line, http.user_agent);
    word(line, Some(record.virtual_service.as_str()));
    word(line, record.pool.map(Name::as_str));
    word(line, record.server.map(|server| server.name.as_str()));
    line.push(b' ');
    text::seconds(line, record.times.duration);
}

fn quoted(line: &mut Vec<u8>, value: Option<&[u8]>) {
    line.extend_from_slice(b" \"");
    match value {
        Some(value) => escape(line, value),
        None => line.push(b'-'),
    }
    line.push(b'"');
}

fn word(line: &mut Vec<u8>, word: Option<&str>) {
    line.push(b' ');
    line.extend_from_slice(word.unwrap_or("-").as_bytes());
}

/// Writes bytes as NGINX does by default: quotes, backslashes, control characters and what is not
/// ASCII become `\xHH`.
fn escape(line: &mut Vec<u8>, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                line.extend_from_slice(b"\\x");
                text::hex(line, *byte);
            }
            0x20..=0x7e => line.push(*byte),
        }
    }
}
