//! Tokens as text.

use std::fmt;
use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::Digest;

/// What each token begins with: programs that look for published secrets know it.
const PREFIX: &str = "lbctl_";

/// How many digits the secret and its checksum have.
const RANDOM_DIGITS: usize = 64;
const CHECKSUM_DIGITS: usize = 8;

/// The text of a token. It is never printed, unless somebody asks for it in so many words.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; RANDOM_DIGITS / 2];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        // Its digest has as many bits, and is text already.
        let random = Digest::of(&bytes).to_string();
        let checksum = checksum(&random);
        Ok(Self(format!("{PREFIX}{random}_{checksum}")))
    }

    /// One that somebody sent, good or not.
    pub(crate) fn received(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is kept of a token, if this could be one.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let (random, sum) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let fits = random.len() == RANDOM_DIGITS && digits(random) && sum == checksum(random);
    fits.then(|| Digest::of(text.as_bytes()))
}

/// It says whether a token was copied well, and nothing about whether it is good.
fn checksum(random: &str) -> String {
    let mut sum = Digest::of(random.as_bytes()).to_string();
    sum.truncate(CHECKSUM_DIGITS);
    sum
}
