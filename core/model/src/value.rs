//! The values that a document is made of: each type holds its limits, its parser, its text form and
//! its schema, so that a limit is written once and every surface reports it in the same words.
//!
//! A value that exists is valid. `FromStr` is the only way in, `Display` gives the canonical text,
//! and parsing that text gives the value back.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

mod address;
mod cloud;
mod fingerprint;
mod http;
mod machine;
mod network;
mod number;
mod period;
mod status;
mod tls;
mod web;

pub use address::{Cidr, ListenAddress, ServerAddress};
pub use cloud::{
    ApiUrl, AwsImage, AwsInstanceType, AwsProfile, AwsRegion, AwsSubnet, DiskName, InterfaceName,
    PublicKey, SystemId, TagValue,
};
pub use fingerprint::Fingerprint;
pub use http::{
    HeaderName, HeaderText, HostPattern, LocationPart, LocationTemplate, Method, Pattern, UrlPath,
};
pub use machine::{HostKey, Machine, UserName};
pub use network::{HostAddress, HostName, InterfaceAddress, MacAddress};
pub use number::{PrefixV4, PrefixV6, Weight};
pub use period::Period;
pub use status::{StatusCode, StatusRange};
pub use tls::{AlpnName, CertificateName, PemCertificates, ServerName};
pub use web::{EmailAddress, HttpsUrl};

/// Why a piece of text is not a value: what was wrong with it and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidValue {
    /// What is wrong, with the offending text.
    pub reason: String,
    /// What would be accepted, ready to follow the word "use".
    pub mend: String,
}

impl InvalidValue {
    pub(crate) fn new(reason: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            mend: mend.into(),
        }
    }
}

/// Implements the serde, schema and conversion surface of a value that is written as text.
/// The `format` names the value in the schema; `check_format` finds its parser by that name.
macro_rules! text_value {
    ($type:ty, format: $format:literal, example: $example:literal, $description:literal) => {
        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "description": $description,
                    "examples": [$example],
                })
            }
        }
    };
}
/// Lets values that wrap a text be read as one.
macro_rules! as_str {
    ($($type:ty),* $(,)?) => {$(
        impl $type {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

pub(crate) use {as_str, text_value};

/// The name of an object: 1 to 63 letters, digits, `-`, `_` and `.`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit";
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let first = text
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric());
        if first && text.len() <= Self::LENGTH_MAX && text.chars().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidValue::new(format!("`{text}` is not a name"), mend))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// Written out, not through `text_value!`: a name is also the key of every map, where a schema
// pattern is what tools check.
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "lb-name",
            "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
            "description": "1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or digit.",
            "examples": ["web"],
        })
    }
}

/// Checks text against the value type that a schema names with `format`.
/// Formats that are not ours are accepted: they say nothing about our values.
///
/// # Errors
/// What is wrong with the text, and what would be accepted.
pub fn check_format(format: &str, text: &str) -> Result<(), InvalidValue> {
    canonical(format, text).map(drop)
}

/// The text that a document gives back for this one, in the `format` of a schema: `60s` is a `lb-period`
/// of `1m`. Texts in formats that are not ours stay as they are.
///
/// # Errors
/// What is wrong with the text, and what would be accepted.
pub fn canonical(format: &str, text: &str) -> Result<String, InvalidValue> {
    fn printed<T: FromStr<Err = InvalidValue> + fmt::Display>(
        text: &str,
    ) -> Result<String, InvalidValue> {
        text.parse().map(|value: T| value.to_string())
    }
    match format {
        "lb-alpn" => printed::<AlpnName>(text),
        "lb-api-url" => printed::<ApiUrl>(text),
        "lb-aws-image" => printed::<AwsImage>(text),
        "lb-aws-instance-type" => printed::<AwsInstanceType>(text),
        "lb-aws-profile" => printed::<AwsProfile>(text),
        "lb-aws-region" => printed::<AwsRegion>(text),
        "lb-aws-subnet" => printed::<AwsSubnet>(text),
        "lb-disk-name" => printed::<DiskName>(text),
        "lb-interface-name" => printed::<InterfaceName>(text),
        "lb-public-key" => printed::<PublicKey>(text),
        "lb-system-id" => printed::<SystemId>(text),
        "lb-tag-value" => printed::<TagValue>(text),
        "lb-host-address" => printed::<HostAddress>(text),
        "lb-host-key" => printed::<HostKey>(text),
        "lb-host-name" => printed::<HostName>(text),
        "lb-interface-address" => printed::<InterfaceAddress>(text),
        "lb-mac-address" => printed::<MacAddress>(text),
        "lb-machine" => printed::<Machine>(text),
        "lb-user-name" => printed::<UserName>(text),
        "lb-https-url" => printed::<HttpsUrl>(text),
        "lb-email" => printed::<EmailAddress>(text),
        "lb-certificate-name" => printed::<CertificateName>(text),
        "lb-fingerprint" => printed::<Fingerprint>(text),
        "lb-pem-certificates" => printed::<PemCertificates>(text),
        "lb-server-name" => printed::<ServerName>(text),
        "lb-name" => printed::<Name>(text),
        "lb-period" => printed::<Period>(text),
        "lb-cidr" => printed::<Cidr>(text),
        "lb-listen-address" => printed::<ListenAddress>(text),
        "lb-server-address" => printed::<ServerAddress>(text),
        "lb-header-name" => printed::<HeaderName>(text),
        "lb-header-text" => printed::<HeaderText>(text),
        "lb-host-pattern" => printed::<HostPattern>(text),
        "lb-location" => printed::<LocationTemplate>(text),
        "lb-method" => printed::<Method>(text),
        "lb-path" => printed::<UrlPath>(text),
        "lb-pattern" => printed::<Pattern>(text),
        "lb-status-range" => printed::<StatusRange>(text),
        _ => Ok(text.to_owned()),
    }
}

/// The JSON Schema of every value that is written as text in a form of its own.
pub(crate) fn text_schemas() -> Vec<Schema> {
    let mut generator = SchemaGenerator::default();
    macro_rules! schemas {
        ($($type:ty),*) => { vec![$(<$type>::json_schema(&mut generator)),*] };
    }
    schemas![
        Name,
        Period,
        ListenAddress,
        ServerAddress,
        Cidr,
        HostPattern,
        UrlPath,
        Pattern,
        Method,
        HeaderName,
        HeaderText,
        StatusRange,
        LocationTemplate,
        AlpnName,
        HttpsUrl,
        EmailAddress,
        CertificateName,
        ServerName,
        Fingerprint,
        PemCertificates,
        Machine,
        UserName,
        HostKey,
        HostName,
        HostAddress,
        InterfaceAddress,
        MacAddress,
        AwsRegion,
        AwsImage,
        AwsSubnet,
        AwsInstanceType,
        AwsProfile,
        TagValue,
        PublicKey,
        ApiUrl,
        InterfaceName,
        DiskName,
        SystemId
    ]
}
