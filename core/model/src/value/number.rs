//! Numbers with a range of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A bounded integer: range, serde and schema in one place.
macro_rules! bounded {
    ($(#[$doc:meta])* $type:ident($number:ty), $min:literal..=$max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64")]
        pub struct $type($number);

        impl $type {
            /// The smallest value.
            pub const MIN: Self = Self($min);
            /// The largest value.
            pub const MAX: Self = Self($max);

            /// The value, or nothing when it is out of range.
            pub const fn new(value: $number) -> Option<Self> {
                #[allow(
                    unused_comparisons,
                    clippy::allow_attributes,
                    reason = "a minimum of 0 makes the first comparison void"
                )]
                if value >= $min && value <= $max { Some(Self(value)) } else { None }
            }

            /// The value as a number.
            pub const fn get(self) -> $number {
                self.0
            }
        }

        impl TryFrom<u64> for $type {
            type Error = String;

            fn try_from(value: u64) -> Result<Self, String> {
                <$number>::try_from(value).ok().and_then(Self::new).ok_or_else(|| {
                    format!(concat!($what, " {} is outside the range of {} to {}"), value, $min, $max)
                })
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $min, "maximum": $max })
            }
        }
    };
}

bounded!(
    /// The share of traffic a server gets, relative to the other servers of its pool.
    /// 0 gives it no new clients.
    Weight(u16), 0..=1000, "weight"
);
bounded!(
    /// How many leading bits of an IPv4 address identify a client.
    PrefixV4(u8), 1..=32, "IPv4 prefix length"
);
bounded!(
    /// How many leading bits of an IPv6 address identify a client.
    PrefixV6(u8), 1..=128, "IPv6 prefix length"
);

impl Default for Weight {
    fn default() -> Self {
        Self(100)
    }
}

impl Default for PrefixV4 {
    fn default() -> Self {
        Self(32)
    }
}

impl Default for PrefixV6 {
    fn default() -> Self {
        Self(128)
    }
}
