//! The text of tokens. Balancers make them, and so does whoever makes a balancer.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What each token begins with: programs that look for published secrets know it.
const PREFIX: &str = "lbctl_";

/// How many bytes that nobody can guess a token is made of.
pub const RANDOM_BYTES: usize = 32;

/// How many digits the checksum has.
const CHECKSUM_DIGITS: usize = 8;

/// The token of these bytes.
pub fn text(random: &[u8; RANDOM_BYTES]) -> String {
    let random = hexadecimal(random);
    let checksum = checksum(&random);
    format!("{PREFIX}{random}_{checksum}")
}

/// Whether this could be a token, and was copied well.
pub fn is_text(text: &str) -> bool {
    let parts = text
        .strip_prefix(PREFIX)
        .and_then(|text| text.split_once('_'));
    parts.is_some_and(|(random, sum)| {
        let is_digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        random.len() == 2 * RANDOM_BYTES && random.bytes().all(is_digit) && sum == checksum(random)
    })
}

/// It says whether a token was copied well, and nothing about whether it is good.
fn checksum(random: &str) -> String {
    let mut sum = hexadecimal(&Sha256::digest(random));
    sum.truncate(CHECKSUM_DIGITS);
    sum
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
