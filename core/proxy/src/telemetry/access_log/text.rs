//! Numbers, addresses and bytes as text, without the formatting machinery of the standard library:
//! a line is written for every request.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes a number in decimal.
pub(super) fn number(line: &mut Vec<u8>, number: u64) {
    digits(line, number, 1);
}

/// Writes a number in decimal, with leading zeros up to `width`.
pub(super) fn digits(line: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut reversed = [b'0'; 20];
    let mut length = 0;
    while number > 0 && length < reversed.len() {
        // The remainder of ten fits a byte.
        reversed[length] = b'0' + (number % 10) as u8;
        number /= 10;
        length += 1;
    }
    let shown = length.max(width.min(reversed.len()));
    line.extend(reversed[..shown].iter().rev());
}

/// Writes a duration in seconds with microseconds: `0.001234`.
pub(super) fn seconds(line: &mut Vec<u8>, duration: Duration) {
    number(line, duration.as_secs());
    line.push(b'.');
    digits(line, duration.subsec_micros().into(), 6);
}

/// Writes an IP address, an IPv4 address in IPv6 form as IPv4.
pub(super) fn ip(line: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    line.push(b'.');
                }
                number(line, octet.into());
            }
        }
        IpAddr::V6(address) => write!(line, "{address}").expect("a Vec takes every write"),
    }
}

/// Writes an IP address and a port.
pub(super) fn socket_addr(line: &mut Vec<u8>, address: SocketAddr) {
    let canonical = address.ip().to_canonical();
    if canonical.is_ipv6() {
        line.push(b'[');
    }
    ip(line, canonical);
    if canonical.is_ipv6() {
        line.push(b']');
    }
    line.push(b':');
    number(line, address.port().into());
}

/// Writes two hexadecimal digits.
pub(super) fn hex(line: &mut Vec<u8>, byte: u8) {
    line.push(HEX[usize::from(byte >> 4)]);
    line.push(HEX[usize::from(byte & 15)]);
}
