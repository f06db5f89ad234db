//! Tokens, so that they are not printed.

use std::fmt;
use std::io;

use lb_model::api::token;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Digest;

/// The text of a token. It is never printed, unless somebody asks for it in so many words.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one.
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0_u8; token::RANDOM_BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self(token::text(&bytes)))
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
    token::is_text(text).then(|| Digest::of(text.as_bytes()))
}
