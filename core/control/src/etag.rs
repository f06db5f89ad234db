//! What tells versions of an object apart.

use std::fmt;
use std::str::FromStr;

use lb_model::Config;
use serde::Serialize;
use serde_json::Value;

use crate::Digest;

/// How long a tag is.
const LENGTH: usize = 32;

/// The version of an object: two versions that differ have different tags. An object's tag covers
/// what is below it, so that of a pool changes with each of its servers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Etag(Box<str>);

/// A text that is no [`Etag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is {LENGTH} lower-case hexadecimal digits, as it was received")]
pub struct EtagError;

impl Etag {
    /// The tag of an object with this value.
    pub fn of(value: &Value) -> Self {
        Self::of_json(value)
    }

    /// The tag of a whole document.
    pub fn of_document(config: &Config) -> Self {
        Self::of_json(config)
    }

    fn of_json(value: &impl Serialize) -> Self {
        // Keys are texts and numbers are whole, so that nothing can fail.
        let json = serde_json::to_vec(value).unwrap_or_default();
        let mut text = Digest::of(&json).to_string();
        text.truncate(LENGTH);
        Self(text.into())
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Etag {
    type Err = EtagError;

    fn from_str(text: &str) -> Result<Self, EtagError> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = text.len() == LENGTH && text.bytes().all(digit);
        fits.then(|| Self(text.into())).ok_or(EtagError)
    }
}

#[cfg(test)]
mod tests {
    use lb_model::edit::{ObjectPath, object};
    use lb_model::{Format, read};

    use super::*;

    #[test]
    fn the_tag_of_an_object_follows_it_and_what_is_below_it_alone() {
        let document = |weight: u16| {
            let text = format!(
                r#"{{ "virtual_services": {{ "shop": {{ "address": "127.0.0.1:80", "pool": "web" }} }},
                    "pools": {{ "web": {{ "servers": {{
                        "iis1": {{ "address": "10.0.0.1:80", "weight": {weight} }},
                        "iis2": {{ "address": "10.0.0.2:80" }} }} }} }} }}"#
            );
            read(&text, Format::Json).unwrap().config().clone()
        };
        let tag = |weight, path: &str| {
            let path: ObjectPath = path.parse().unwrap();
            let tag = Etag::of(&object(&document(weight), &path).unwrap());
            assert_eq!(tag.to_string().parse(), Ok(tag.clone()));
            tag
        };
        for (path, same) in [
            ("pools/web/servers/iis1", false),
            ("pools/web", false),
            ("pools/web/servers/iis2", true),
            ("virtual_services/shop", true),
            ("limits", true),
        ] {
            assert_eq!(tag(10, path) == tag(20, path), same, "{path}");
        }
        assert_ne!(
            Etag::of_document(&document(10)),
            Etag::of_document(&document(20))
        );
        for wrong in ["", "x", "\"0123456789abcdef0123456789abcdef\""] {
            assert!(wrong.parse::<Etag>().is_err(), "{wrong}");
        }
    }
}
