//! A place in a document from its text, the inverse of its `Display`.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Path, Step};

/// A text that is not a place in a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a place in a document, such as pools.web.servers.iis1")]
pub struct InvalidPath(String);

impl FromStr for Path {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (step, after) =
                step(rest, steps.is_empty()).ok_or_else(|| InvalidPath(super::printable(text)))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }
}

/// The first step and the text after it.
fn step(text: &str, is_first: bool) -> Option<(Step, &str)> {
    if let Some(index) = text.strip_prefix('[') {
        let (index, rest) = index.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), rest));
    }
    let text = if is_first {
        text
    } else {
        text.strip_prefix('.')?
    };
    let (key, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at(text.find(['.', '[']).unwrap_or(text.len())),
    };
    let is_bare = |key: &str| {
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !key.is_empty() && key.bytes().all(bare)
    };
    let legal = text.starts_with('"') || is_bare(key);
    legal.then(|| (Step::Key(key.into()), rest))
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Path {
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A place in the document, by names.",
            "examples": ["pools.web.servers.iis1.weight"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let path = Path::root()
            .key("pools")
            .key("web.v2")
            .key("rules")
            .index(3)
            .key("X-!#$%&'*+")
            .key("");
        assert_eq!(path.to_string().parse(), Ok(path));
        assert_eq!("".parse(), Ok(Path::root()));
        for wrong in [
            ".", "a.", "a..b", "a[", "a[x]", "a b", "\"a", "a\"b\"", "[0]x",
        ] {
            assert!(wrong.parse::<Path>().is_err(), "{wrong}");
        }
    }
}
