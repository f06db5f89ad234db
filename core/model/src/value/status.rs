//! Statuses of responses, and ranges of them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::InvalidValue;

/// The status of a response: 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct StatusCode(u16);

/// One status such as `401`, or a range of them such as `"200-299"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusRange {
    first: StatusCode,
    last: StatusCode,
}

impl StatusCode {
    /// The status, or nothing outside 100 to 599.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code <= 599 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The status as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u64> for StatusCode {
    type Error = String;

    fn try_from(code: u64) -> Result<Self, String> {
        u16::try_from(code)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| format!("status {code} is outside the range of 100 to 599"))
    }
}

impl JsonSchema for StatusCode {
    fn schema_name() -> Cow<'static, str> {
        "StatusCode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 100, "maximum": 599 })
    }
}

impl StatusRange {
    /// The range from `first` to `last`, or nothing when it is empty or outside 100 to 599.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        match (StatusCode::new(first), StatusCode::new(last)) {
            (Some(low), Some(high)) if first <= last => Some(Self {
                first: low,
                last: high,
            }),
            _ => None,
        }
    }

    /// Whether the status lies in the range.
    pub const fn contains(self, status: u16) -> bool {
        self.first.0 <= status && status <= self.last.0
    }
}

impl FromStr for StatusRange {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u16>().ok()).flatten()
        };
        number(first)
            .zip(number(last))
            .and_then(|(first, last)| Self::new(first, last))
            .ok_or_else(|| {
                InvalidValue::new(
                    format!("`{text}` is not a status or a range of them"),
                    "a status from 100 to 599 such as 401, or a range such as \"200-299\"",
                )
            })
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first.0)
        } else {
            write!(f, "{}-{}", self.first.0, self.last.0)
        }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last {
            serializer.serialize_u16(self.first.0)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = StatusRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 401 or a range such as \"200-299\"")
            }

            fn visit_u64<E: serde::de::Error>(self, code: u64) -> Result<StatusRange, E> {
                let status = StatusCode::try_from(code).map_err(E::custom)?;
                Ok(StatusRange {
                    first: status,
                    last: status,
                })
            }

            fn visit_i64<E: serde::de::Error>(self, code: i64) -> Result<StatusRange, E> {
                self.visit_u64(u64::try_from(code).map_err(E::custom)?)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StatusRange, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for StatusRange {
    fn schema_name() -> Cow<'static, str> {
        "StatusRange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "format": "lb-status-range",
            "minimum": 100,
            "maximum": 599,
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            "description": "One status such as `401`, or a range such as `\"200-299\"`.",
            "examples": ["200-299"],
        })
    }
}
