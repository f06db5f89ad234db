//! Documents by chance, made from the schema: a new key is covered as soon as it is declared.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::string::string_regex;
use serde_json::{Map, Value};

use crate::schema::{Field, Kind, Shape, shape};

/// A document that fits the schema; it may contradict itself.
pub(crate) fn document() -> BoxedStrategy<Value> {
    fitting(shape(), 0)
}

/// A document with some values of any kind in the wrong places.
pub(crate) fn broken_document() -> BoxedStrategy<Value> {
    fitting(shape(), 1)
}

/// A text in a form that the schema names.
pub(crate) fn text(format: &str) -> BoxedStrategy<String> {
    let regex = |regex: &str| string_regex(regex).unwrap().boxed();
    let address = || {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u16; 8]>().prop_map(IpAddr::from),
        ];
        (ip, 1_u16..)
            .prop_filter("one server", |(ip, _)| !ip.is_unspecified())
            .prop_map(SocketAddr::from)
    };
    match format {
        "lb-name" => regex("[A-Za-z0-9][A-Za-z0-9._-]{0,20}"),
        "lb-period" => prop_oneof![
            (1_u32..=2_419_200_000).prop_map(|n| format!("{n}ms")),
            (1_u32..=2_419_200).prop_map(|n| format!("{n}s")),
            (1_u32..=28).prop_map(|n| format!("{n}d")),
        ]
        .boxed(),
        "lb-cidr" => prop_oneof![
            (any::<[u8; 4]>(), 0_u8..=32)
                .prop_map(|(ip, n)| format!("{}/{n}", std::net::Ipv4Addr::from(ip))),
            (any::<[u16; 8]>(), 0_u8..=128)
                .prop_map(|(ip, n)| format!("{}/{n}", std::net::Ipv6Addr::from(ip))),
        ]
        .boxed(),
        "lb-listen-address" | "lb-server-address" => address().prop_map(|a| a.to_string()).boxed(),
        "lb-header-name" => regex("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}"),
        "lb-header-text" => regex("([!-~é]([ -~é\\t]{0,20}[!-~é])?)?"),
        "lb-host-pattern" => regex("(\\*\\.)?[a-zA-Z0-9-]{1,8}(\\.[a-z]{1,5}){0,3}|\\[::[0-9]\\]"),
        "lb-location" => {
            regex("(https://\\{host\\}:\\{port\\})?(/[a-z]{0,5}|\\{path\\}|\\{query\\}){1,3}")
        }
        "lb-method" => regex("[A-Z]{1,10}"),
        "lb-path" => regex("/[!-\"$-~]{0,20}"),
        "lb-pattern" => regex("\\^?[a-z'\"]{1,5}(\\.\\*|\\\\\\.[a-z])?\\$?"),
        "lb-status-range" => (100_u16..=599, 100_u16..=599)
            .prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)))
            .boxed(),
        "lb-alpn" => regex("[a-z0-9/.]{1,10}"),
        "lb-certificate-name" => regex("(\\*\\.)?[a-zA-Z0-9]{1,8}(\\.[a-z]{1,5}){1,3}"),
        "lb-server-name" => regex("[a-zA-Z0-9]{1,8}(\\.[a-z]{1,5}){0,3}"),
        "lb-https-url" => regex(
            "https://[a-z0-9]{1,8}(\\.[a-z]{1,5}){0,2}(:[1-9][0-9]{0,3})?(/[a-z0-9]{0,5}){0,2}",
        ),
        "lb-email" => regex("[a-z0-9.+]{1,8}@[a-z]{1,8}(\\.[a-z]{1,5}){0,2}"),
        "lb-machine" | "lb-user-name" => regex("[a-z0-9][a-z0-9._-]{0,20}"),
        "lb-host-address" => regex("10(\\.[1-9][0-9]?){3}"),
        "lb-host-name" => regex("[a-z0-9]{1,8}(\\.[a-z]{1,5}){0,2}"),
        "lb-interface-address" => regex("10(\\.[1-9][0-9]?){3}/[1-9]"),
        "lb-mac-address" => regex("52(:[0-9a-f]{2}){5}"),
        "lb-host-key" => regex("[A-Za-z0-9]{43}")
            .prop_map(|key| format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{key}"))
            .boxed(),
        "lb-fingerprint" => regex("sha256:[0-9a-f]{64}"),
        "lb-pem-certificates" => regex(
            "(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/]{4}){1,20}\n-----END CERTIFICATE-----\n){1,3}",
        ),
        format => panic!("the form {format} has no strategy"),
    }
}

/// A value of this shape; in `broken` of 30 places one of any kind.
fn fitting(shape: &Shape, broken: u32) -> BoxedStrategy<Value> {
    let fits = fitting_kind(&shape.kind, broken);
    if broken == 0 {
        return fits;
    }
    prop_oneof![30 => fits, broken => anything()].boxed()
}

fn fitting_kind(kind: &Kind, broken: u32) -> BoxedStrategy<Value> {
    match kind {
        Kind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Choice(choices) => {
            let choice = |choice: &crate::schema::Choice| match &choice.payload {
                None => Just(Value::from(choice.name.clone())).boxed(),
                Some(payload) => {
                    let name = choice.name.clone();
                    let table = move |value| Value::Object(Map::from_iter([(name.clone(), value)]));
                    fitting(payload, broken).prop_map(table).boxed()
                }
            };
            proptest::strategy::Union::new(choices.iter().map(choice)).boxed()
        }
        Kind::Integer { min, max } => integer(*min, *max),
        Kind::IntegerOrText { min, max, format } => {
            prop_oneof![integer(*min, *max), text(format).prop_map(Value::from)].boxed()
        }
        Kind::List {
            items, length_min, ..
        } => {
            let length = *length_min..length_min + 3;
            prop::collection::vec(fitting(items, broken), length)
                .prop_map(Value::from)
                .boxed()
        }
        Kind::Map { keys, values } => {
            let entries = prop::collection::vec((text(keys), fitting(values, broken)), 0..3);
            let distinct = |entries: Vec<(String, Value)>| {
                let mut seen = std::collections::HashSet::new();
                let new = |(key, _): &(String, Value)| seen.insert(key.to_ascii_lowercase());
                Value::Object(entries.into_iter().filter(new).collect())
            };
            entries.prop_map(distinct).boxed()
        }
        Kind::Table(fields) => {
            let tables = fields
                .iter()
                .map(|field| entry(field, broken))
                .collect::<Vec<_>>();
            tables
                .prop_map(|entries| Value::Object(entries.into_iter().flatten().collect()))
                .boxed()
        }
        Kind::Text {
            format: Some(format),
            ..
        } => text(format).prop_map(Value::from).boxed(),
        Kind::Text {
            format: None,
            length_min,
            ..
        } => {
            let any_text = format!("(?s).{{{length_min},20}}");
            string_regex(&any_text)
                .unwrap()
                .prop_map(Value::from)
                .boxed()
        }
        Kind::Unknown => panic!("a shape that nobody knows"),
    }
}

fn entry(field: &Field, broken: u32) -> BoxedStrategy<Option<(String, Value)>> {
    let name = field.name.clone();
    let there = fitting(&field.shape, broken).prop_map(move |value| Some((name.clone(), value)));
    match (field.required, broken) {
        (true, 0) => there.boxed(),
        (true, broken) => prop_oneof![30 => there, broken => Just(None)].boxed(),
        (false, _) => prop_oneof![there, Just(None)].boxed(),
    }
}

fn integer(min: i128, max: i128) -> BoxedStrategy<Value> {
    let (min, max) = (i64::try_from(min).unwrap(), i64::try_from(max).unwrap());
    (min..=max).prop_map(Value::from).boxed()
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(serde_json::json!({})),
        Just(serde_json::json!([])),
        Just(serde_json::json!({ "http": {}, "tcp": {} })),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z /:0-9]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 1..3).prop_map(Value::from),
    ]
}

/// A document with one of everything that holds others, and nothing in it that is not required.
pub(crate) fn smallest(shape: &Shape) -> Value {
    match &shape.kind {
        Kind::Boolean => true.into(),
        Kind::Choice(choices) => {
            let last = choices.last().unwrap();
            match &last.payload {
                None => last.name.clone().into(),
                Some(payload) => serde_json::json!({ &last.name: smallest(payload) }),
            }
        }
        Kind::Integer { min, .. } | Kind::IntegerOrText { min, .. } => {
            i64::try_from(*min).unwrap().into()
        }
        Kind::List { items, .. } => vec![smallest(items)].into(),
        Kind::Map { values, .. } => serde_json::json!({ "x": smallest(values) }),
        Kind::Table(fields) => {
            let holds = |field: &&Field| field.required || !field.shape.is_scalar();
            let entry = |field: &Field| (field.name.clone(), smallest(&field.shape));
            Value::Object(fields.iter().filter(holds).map(entry).collect())
        }
        Kind::Text {
            format: Some(format),
            ..
        } if format == "lb-server-address" => "10.0.0.1:80".into(),
        Kind::Text { example, .. } => example.as_deref().unwrap_or("x").into(),
        Kind::Unknown => Value::Null,
    }
}
