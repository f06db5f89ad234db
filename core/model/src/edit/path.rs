//! The path of an object, as programs write it: `pools/web/servers/iis1`.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::nearest::did_you_mean;
use crate::problem::Path;
use crate::schema::{Noun, nouns};
use crate::value::{InvalidValue, Name};

/// Which object of a document: its noun, its name, and the names of the objects that hold it. `limits`
/// `telemetry` and `admin` are objects without a name.
#[derive(Clone, Debug)]
pub struct ObjectPath {
    noun: &'static Noun,
    /// As many names as the noun and those above it have.
    names: Vec<Name>,
}

impl ObjectPath {
    /// The object of this noun with these names, those of the objects that hold it first; nothing when
    /// there are too few or too many of them.
    pub fn new(noun: &'static Noun, names: Vec<Name>) -> Option<Self> {
        (names.len() == depth(noun)).then_some(Self { noun, names })
    }

    /// What kind of object it is.
    pub fn noun(&self) -> &'static Noun {
        self.noun
    }

    /// The names of the objects that hold it, and last its own.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The object that holds it; nothing for those that the document itself holds.
    pub fn holder(&self) -> Option<Self> {
        let noun = self.noun.holder()?;
        let (_, names) = self.names.split_last()?;
        Self::new(noun, names.to_vec())
    }

    /// Where it is in the document; the name of a rule stands for its position.
    pub fn place(&self) -> Path {
        let above = self
            .holder()
            .map_or_else(Path::root, |holder| holder.place());
        let nouns = above.key(self.noun.plural);
        match self.names.last() {
            Some(name) => nouns.key(name.as_str()),
            None => nouns,
        }
    }

    /// What the object is called in a sentence, such as `server web/iis1`.
    pub fn title(&self) -> String {
        let names: Vec<_> = self.names.iter().map(Name::as_str).collect();
        format!("{} {}", self.noun.words(), names.join("/"))
            .trim_end()
            .to_owned()
    }
}

/// How many names it takes to name an object of this noun.
fn depth(noun: &Noun) -> usize {
    usize::from(noun.keyed) + noun.holder().map_or(0, depth)
}

impl FromStr for ObjectPath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut segments = text.split('/');
        let mut names = Vec::new();
        let mut found: Option<&'static Noun> = None;
        while let Some(segment) = segments.next() {
            let here = || {
                nouns()
                    .iter()
                    .filter(move |n| n.parent == found.map(|f| f.singular))
            };
            let Some(noun) = here().find(|noun| noun.plural == segment) else {
                return Err(unknown_noun(segment, found, here().map(|noun| noun.plural)));
            };
            if noun.keyed {
                let Some(name) = segments.next() else {
                    let mend = format!("{text}/NAME");
                    return Err(InvalidValue::new(
                        format!("`{text}` names no {}", noun.words()),
                        mend,
                    ));
                };
                names.push(name.parse()?);
            }
            found = Some(noun);
        }
        let noun = found.expect("a text has at least one segment");
        Ok(Self { noun, names })
    }
}

fn unknown_noun<'n>(
    segment: &str,
    holder: Option<&Noun>,
    known: impl Iterator<Item = &'n str>,
) -> InvalidValue {
    let known: Vec<_> = known.collect();
    let of = holder.map_or_else(
        || "a document".to_owned(),
        |holder| format!("a {}", holder.words()),
    );
    let shown: String = segment.chars().take(Name::LENGTH_MAX).collect();
    if known.is_empty() {
        let reason = format!("`{shown}` is nothing in {of}, which holds no objects");
        return InvalidValue::new(reason, "the path of an object, such as pools/web");
    }
    let near = did_you_mean(segment, known.iter().copied());
    let mend = format!("one of {}", known.join(", "));
    InvalidValue::new(
        format!("`{shown}` is no kind of object in {of}"),
        format!("{mend}{}", near_text(&near)),
    )
}

fn near_text(near: &str) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; {}", near.trim_end())
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(holder) = self.holder() {
            write!(f, "{holder}/")?;
        }
        f.write_str(self.noun.plural)?;
        match self.names.last() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl PartialEq for ObjectPath {
    fn eq(&self, other: &Self) -> bool {
        let key = |path: &Self| (path.noun.plural, path.noun.parent);
        key(self) == key(other) && self.names == other.names
    }
}

impl Eq for ObjectPath {}

impl Hash for ObjectPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.noun.plural, self.noun.parent, &self.names).hash(state);
    }
}

impl Serialize for ObjectPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|InvalidValue { reason, mend }| {
            D::Error::custom(format!("{reason}: use {mend}"))
        })
    }
}

impl JsonSchema for ObjectPath {
    fn schema_name() -> Cow<'static, str> {
        "ObjectPath".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The path of an object: nouns and names, separated by slashes.",
            "examples": ["pools/web/servers/iis1"],
        })
    }
}
