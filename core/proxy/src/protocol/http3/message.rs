//! Responses on their way from the form of HTTP/1.1 to that of HTTP/3 (RFC 9114 section 4.2). Requests go the
//! other way by the same rules as in HTTP/2.

use super::frame;
use super::qpack;
use crate::http2::message::{is_of_connection, next_line};
use crate::protocol::http::codec::FieldKind;

/// Writes the head of a response that we wrote for HTTP/1.1, as a frame. `websocket`: the acceptance of
/// another protocol means that the stream carries its bytes.
///
/// The status and how long the head was; nothing when it is not all there.
pub(super) fn write_response(
    head: &[u8],
    websocket: bool,
    out: &mut Vec<u8>,
) -> Option<(u16, usize)> {
    let mut rest = head;
    let line = next_line(&mut rest)?;
    let status = std::str::from_utf8(line.get(9..12)?).ok()?.parse().ok()?;
    let switches = websocket && status == 101;
    let mut block = Vec::with_capacity(512);
    qpack::begin(&mut block);
    qpack::write_status(if switches { 200 } else { status }, &mut block);
    loop {
        let line = next_line(&mut rest)?;
        if line.is_empty() {
            write_block(&block, out);
            return Some((status, head.len() - rest.len()));
        }
        write_line(line, switches, &mut block);
    }
}

/// Writes trailer lines as a frame.
pub(super) fn write_trailer(mut lines: &[u8], out: &mut Vec<u8>) {
    let mut block = Vec::with_capacity(128);
    qpack::begin(&mut block);
    while let Some(line) = next_line(&mut lines) {
        write_line(line, false, &mut block);
    }
    write_block(&block, out);
}

fn write_block(block: &[u8], out: &mut Vec<u8>) {
    frame::write_head(frame::HEADERS, block.len(), out);
    out.extend_from_slice(block);
}

fn write_line(line: &[u8], switches: bool, out: &mut Vec<u8>) {
    let Some(colon) = memchr::memchr(b':', line) else {
        return;
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let kind = FieldKind::of(name);
    // What answers the key that the client has not sent is not for it.
    let answers_key = switches && name.eq_ignore_ascii_case(b"sec-websocket-accept");
    if !is_of_connection(kind) && kind != FieldKind::Te && !answers_key {
        qpack::write_field(name, value, kind == FieldKind::SetCookie, out);
    }
}
