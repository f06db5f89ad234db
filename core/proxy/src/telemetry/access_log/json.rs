//! Lines as JSON objects (RFC 8259). What is not known is left out.

use std::time::Duration;

use super::{AccessRecord, HttpRecord, LogClock, TlsRecord, text};

/// Writes the record as one object, without a line feed.
pub(super) fn write(line: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &mut LogClock) {
    line.extend_from_slice(b"{\"time\":\"");
    clock.write_rfc3339(line, record.time);
    line.extend_from_slice(b"\",\"client\":\"");
    text::socket_addr(line, record.client);
    line.push(b'"');
    string(
        line,
        "virtual_service",
        record.virtual_service.as_str().as_bytes(),
    );
    if let Some(rule) = record.rule {
        string(line, "rule", rule.as_str().as_bytes());
    }
    if let Some(pool) = record.pool {
        string(line, "pool", pool.as_str().as_bytes());
    }
    if let Some(server) = record.server {
        string(line, "server", server.name.as_str().as_bytes());
        key(line, "server_address");
        line.push(b'"');
        text::socket_addr(line, server.address);
        line.push(b'"');
    }
    if let Some(http) = &record.http {
        exchange(line, http);
    }
    if let Some(tls) = record.tls {
        let TlsRecord {
            version,
            cipher,
            server_name,
        } = tls;
        let known = [
            ("tls_version", version),
            ("tls_cipher", cipher),
            ("server_name", server_name),
        ];
        for (key, value) in known {
            if let Some(value) = value {
                string(line, key, value.as_bytes());
            }
        }
    }
    integer(line, "bytes_received", record.bytes_received);
    integer(line, "bytes_sent", record.bytes_sent);
    seconds(line, "duration_seconds", Some(record.times.duration));
    seconds(line, "queue_seconds", record.times.queue);
    seconds(line, "connect_seconds", record.times.connect);
    seconds(line, "response_seconds", record.times.response);
    integer(line, "retries", record.retries.into());
    if let Some(reason) = record.persistence {
        string(line, "persistence", reason.as_bytes());
    }
    string(line, "end", record.end.as_bytes());
    line.push(b'}');
}

fn exchange(line: &mut Vec<u8>, http: &HttpRecord<'_>) {
    // A request that was refused while it was read may have none of these.
    if !http.method.is_empty() {
        string(line, "method", http.method);
    }
    if let Some(host) = http.host {
        string(line, "host", host);
    }
    if !http.target.is_empty() {
        string(line, "target", http.target);
    }
    if !http.version.is_empty() {
        string(line, "version", http.version);
    }
    if let Some(status) = http.status {
        integer(line, "status", status.into());
    }
    if let Some(referer) = http.referer {
        string(line, "referer", referer);
    }
    if let Some(user_agent) = http.user_agent {
        string(line, "user_agent", user_agent);
    }
}

fn key(line: &mut Vec<u8>, key: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
}

fn integer(line: &mut Vec<u8>, name: &str, number: u64) {
    key(line, name);
    text::number(line, number);
}

fn seconds(line: &mut Vec<u8>, name: &str, duration: Option<Duration>) {
    if let Some(duration) = duration {
        key(line, name);
        text::seconds(line, duration);
    }
}

fn string(line: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(line, name);
    line.push(b'"');
    escape(line, value);
    line.push(b'"');
}

/// Writes bytes inside a JSON string. Bytes that are not UTF-8 appear as `\xHH`, which keeps the
/// evidence readable; control characters of every kind are escaped, because a line may be read in
/// a terminal.
fn escape(line: &mut Vec<u8>, value: &[u8]) {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'"' && *byte != b'\\';
    if value.iter().all(plain) {
        line.extend_from_slice(value);
        return;
    }
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(line, character);
        }
        for byte in chunk.invalid() {
            line.extend_from_slice(b"\\\\x");
            text::hex(line, *byte);
        }
    }
}

fn escape_character(line: &mut Vec<u8>, character: char) {
    match character {
        '"' => line.extend_from_slice(b"\\\""),
        '\\' => line.extend_from_slice(b"\\\\"),
        '\n' => line.extend_from_slice(b"\\n"),
        '\r' => line.extend_from_slice(b"\\r"),
        '\t' => line.extend_from_slice(b"\\t"),
        // Line and paragraph separators end a line for some readers, as control characters do.
        '\u{2028}' | '\u{2029}' => unicode_escape(line, character),
        _ if character.is_control() => unicode_escape(line, character),
        _ => {
            let mut encoded = [0; 4];
            line.extend_from_slice(character.encode_utf8(&mut encoded).as_bytes());
        }
    }
}

/// Writes `\uHHHH`. Every character that needs it lies below U+10000.
fn unicode_escape(line: &mut Vec<u8>, character: char) {
    let [_, _, high, low] = u32::from(character).to_be_bytes();
    line.extend_from_slice(b"\\u");
    text::hex(line, high);
    text::hex(line, low);
}
