//! Terraform's values, and their form on the wire: `MessagePack` as `cty` writes it, JSON in states.

use std::collections::BTreeMap;

use lb_model::problem::{Path, Step};
use rmpv::decode::read_value_with_max_depth;
use rmpv::{Integer, Utf8String};
use serde_json::Value as Json;

use crate::wire::DynamicValue;

/// How deeply values may be nested: that of our schemas is below 20.
const DEPTH_MAX: usize = 64;

/// The extensions that stand for a value that is not known yet: with nothing said of it, and with what
/// is known of it (refinements).
const UNKNOWN: [i8; 2] = [0, 12];

/// A value. Objects and maps are the same here, as are lists and tuples: the schema tells them apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    /// It is not known before something else was done.
    Unknown,
    Bool(bool),
    Number(i64),
    /// A number that is not whole or too large; none of ours is.
    Odd(f64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

/// Bytes that are no value.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("a value of Terraform cannot be read: {0}")]
pub(crate) struct DecodeError(String);

impl Value {
    /// Reads a value in either of its forms; nothing there is no value.
    pub(crate) fn decode(value: &DynamicValue) -> Result<Self, DecodeError> {
        if value.msgpack.is_empty() && !value.json.is_empty() {
            return Self::decode_json(&value.json);
        }
        if value.msgpack.is_empty() {
            return Ok(Self::Null);
        }
        let mut bytes = &value.msgpack[..];
        let read = read_value_with_max_depth(&mut bytes, DEPTH_MAX);
        let read = read.map_err(|error| DecodeError(error.to_string()))?;
        if !bytes.is_empty() {
            return Err(DecodeError("bytes follow it".to_owned()));
        }
        Self::of_msgpack(read)
    }

    pub(crate) fn decode_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        let json = serde_json::from_slice(bytes).map_err(|error| DecodeError(error.to_string()))?;
        Ok(Self::of_json(json))
    }

    pub(crate) fn encode(&self) -> DynamicValue {
        let mut msgpack = Vec::new();
        // A vector takes every write.
        let written = rmpv::encode::write_value(&mut msgpack, &self.to_msgpack());
        debug_assert!(written.is_ok());
        DynamicValue {
            msgpack,
            json: Vec::new(),
        }
    }

    fn of_msgpack(value: rmpv::Value) -> Result<Self, DecodeError> {
        Ok(match value {
            rmpv::Value::Nil => Self::Null,
            rmpv::Value::Boolean(value) => Self::Bool(value),
            rmpv::Value::Integer(number) => Self::of_integer(number),
            rmpv::Value::F32(number) => Self::of_float(number.into()),
            rmpv::Value::F64(number) => Self::of_float(number),
            rmpv::Value::String(text) => Self::Text(Self::text_of(text)?),
            // The type of a value that may be of any, as text.
            rmpv::Value::Binary(bytes) => {
                let text = String::from_utf8(bytes);
                Self::Text(text.map_err(|_| DecodeError("it holds bytes".to_owned()))?)
            }
            rmpv::Value::Array(values) => {
                let values = values.into_iter().map(Self::of_msgpack);
                Self::List(values.collect::<Result<_, _>>()?)
            }
            rmpv::Value::Map(entries) => {
                let entry = |(key, value)| {
                    let rmpv::Value::String(key) = key else {
                        return Err(DecodeError("a key is not a text".to_owned()));
                    };
                    Ok((Self::text_of(key)?, Self::of_msgpack(value)?))
                };
                Self::Map(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            rmpv::Value::Ext(kind, _) if UNKNOWN.contains(&kind) => Self::Unknown,
            rmpv::Value::Ext(kind, _) => {
                return Err(DecodeError(format!("extension {kind} means nothing")));
            }
        })
    }

    fn text_of(text: Utf8String) -> Result<String, DecodeError> {
        text.into_str()
            .ok_or_else(|| DecodeError("a text is not UTF-8".to_owned()))
    }

    fn of_integer(number: Integer) -> Self {
        let odd = || number.as_f64().map_or(Self::Null, Self::Odd);
        number.as_i64().map_or_else(odd, Self::Number)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is whole and in the range of those that a float holds exactly"
    )]
    fn of_float(number: f64) -> Self {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            Self::Number(number as i64)
        } else {
            Self::Odd(number)
        }
    }

    fn to_msgpack(&self) -> rmpv::Value {
        match self {
            Self::Null => rmpv::Value::Nil,
            Self::Unknown => rmpv::Value::Ext(0, vec![0]),
            Self::Bool(value) => (*value).into(),
            Self::Number(number) => (*number).into(),
            Self::Odd(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(values) => rmpv::Value::Array(values.iter().map(Self::to_msgpack).collect()),
            Self::Map(entries) => {
                let entry =
                    |(key, value): (&String, &Self)| (key.as_str().into(), value.to_msgpack());
                rmpv::Value::Map(entries.iter().map(entry).collect())
            }
        }
    }

    /// The value of JSON, which knows nothing unknown.
    pub(crate) fn of_json(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => {
                let odd = || number.as_f64().map_or(Self::Null, Self::of_float);
                number.as_i64().map_or_else(odd, Self::Number)
            }
            Json::String(text) => Self::Text(text),
            Json::Array(values) => Self::List(values.into_iter().map(Self::of_json).collect()),
            Json::Object(entries) => {
                let entry = |(key, value)| (key, Self::of_json(value));
                Self::Map(entries.into_iter().map(entry).collect())
            }
        }
    }

    /// What is under a key; nothing of anything else than a map is there.
    pub(crate) fn get(&self, key: &str) -> &Self {
        const NULL: &Value = &Value::Null;
        match self {
            Self::Map(entries) => entries.get(key).unwrap_or(NULL),
            Self::Null
            | Self::Unknown
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Odd(_)
            | Self::Text(_)
            | Self::List(_) => NULL,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The elements of a list; anything else has none.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Self::List(values) = self {
            values
        } else {
            &[]
        }
    }

    /// The entries of a map; anything else has none.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&String, &Self)> {
        let entries = if let Self::Map(entries) = self {
            Some(entries)
        } else {
            None
        };
        entries.into_iter().flatten()
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether nothing in it is unknown.
    pub(crate) fn is_known(&self) -> bool {
        self.unknowns().is_empty()
    }

    /// The places in it that are not known yet.
    pub(crate) fn unknowns(&self) -> Vec<Path> {
        let mut found = Vec::new();
        self.collect_unknowns(&mut Vec::new(), &mut found);
        found
    }

    fn collect_unknowns(&self, steps: &mut Vec<Step>, found: &mut Vec<Path>) {
        match self {
            Self::Unknown => found.push(Path::from(&steps[..])),
            Self::List(values) => {
                for (index, value) in values.iter().enumerate() {
                    steps.push(Step::Index(index));
                    value.collect_unknowns(steps, found);
                    steps.pop();
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries {
                    steps.push(Step::Key(key.as_str().into()));
                    value.collect_unknowns(steps, found);
                    steps.pop();
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Odd(_) | Self::Text(_) => {}
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<const N: usize> From<[(&str, Self); N]> for Value {
    fn from(entries: [(&str, Self); N]) -> Self {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Self::Map(entries.collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(Value::Unknown),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Number),
            ".{0,20}".prop_map(Value::Text),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(".{0,8}", inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_arrives_as_it_was_sent(value in any_value()) {
            prop_assert_eq!(Value::decode(&value.encode()).unwrap(), value);
        }

        #[test]
        fn bytes_from_anywhere_are_a_value_or_an_error(msgpack in prop::collection::vec(any::<u8>(), 0..300)) {
            let value = DynamicValue { msgpack, json: Vec::new() };
            let _decoded = Value::decode(&value);
        }
    }

    fn decoded(bytes: &[u8]) -> Result<Value, DecodeError> {
        let msgpack = bytes.to_vec();
        Value::decode(&DynamicValue {
            msgpack,
            json: Vec::new(),
        })
    }

    #[test]
    fn what_cty_writes_is_read_in_each_of_its_forms() {
        // Refined and plain unknowns, numbers as floats.
        assert_eq!(decoded(b"\xd4\x00\x00"), Ok(Value::Unknown));
        assert_eq!(decoded(b"\xc7\x03\x0c\x81\x01\xc2"), Ok(Value::Unknown));
        assert_eq!(decoded(b"\xcb\x40\x45\0\0\0\0\0\0"), Ok(Value::Number(42)));
        assert_eq!(decoded(b"\xcb\x3f\xf8\0\0\0\0\0\0"), Ok(Value::Odd(1.5)));
        assert_eq!(decoded(b""), Ok(Value::Null));
    }

    #[test]
    fn a_bomb_of_nested_lists_and_lengths_that_lie_cost_nothing() {
        assert!(decoded(&vec![0x91; 100_000]).is_err());
        assert!(decoded(b"\xdd\xff\xff\xff\xff").is_err());
        assert!(decoded(b"\xdb\xff\xff\xff\xffab").is_err());
        assert!(decoded(b"\xc0\xc0").is_err());
    }
}
